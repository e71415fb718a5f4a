# SPDX-License-Identifier: MIT
"""A model of model.py as ONNX files for ONNX Runtime, in every form in which it may be fastest.

attention  ONNX Runtime's fused operators: embedding, attention with packed Q, K and V, added residual and normalisation, bias and GELU
mha        the same with its other attention operator, which takes Q, K and V apart
plain      standard operators as exporters write them, for ONNX Runtime to fuse what it can
Each of the first two also with int8 weights, a scale for each output, and activations quantised as they come."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from model import EPSILON, HEADS, HIDDEN, INNER, LAYERS

FORMS = {"f32": ("attention", "mha", "plain"), "int8": ("attention-int8", "mha-int8")}


class Graph:
    def __init__(self, model, form):
        self.model, self.form = model, form.replace("-int8", "")
        self.int8 = form.endswith("-int8")
        self.nodes, self.weights, self.count = [], {}, 0

    # --- pieces ------------------------------------------------------------------------------------

    def constant(self, array, name=None):
        name = name or f"constant_{len(self.weights)}"
        self.weights[name] = np.ascontiguousarray(array)
        return name

    def tensor(self, name):
        return self.constant(self.model.tensors[name], name)

    def node(self, kind, *inputs, outputs=1, own=False, **attributes):
        self.count += 1
        names = [f"t{self.count}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=f"n{self.count}",
                                           domain="com.microsoft" if own else "", **attributes))
        return names[0] if outputs == 1 else names

    def quantised(self, weight):
        """[columns, out] as int8, and what 1 stands for in each output."""
        scale = np.abs(weight).max(0) / 127
        return (self.constant(np.round(weight / scale).astype(np.int8)),
                self.constant(scale.astype(np.float32)), self.constant(np.zeros(weight.shape[1], np.int8)))

    def product(self, x, weight, bias=None):
        """x W^T (+ bias)"""
        if self.int8:
            packed, scale, zero = self.quantised(weight.T)
            return self.node("DynamicQuantizeMatMul", x, packed, scale, zero, self.constant(bias) if bias is not None else "",
                             own=True)
        y = self.node("MatMul", x, self.constant(weight.T))
        return y if bias is None else self.node("Add", y, self.constant(bias))

    def add_norm(self, x, residual, name, bias):
        gamma, beta = self.tensor(name + ".weight"), self.tensor(name + ".bias")
        if self.form != "plain":
            return self.node("SkipLayerNormalization", x, residual, gamma, beta, *([self.constant(bias)] if bias is not None else []),
                             own=True, epsilon=EPSILON)
        x = self.node("Add", x, self.constant(bias))
        return self.node("LayerNormalization", self.node("Add", x, residual), gamma, beta, epsilon=EPSILON, axis=-1)

    def gelu(self, x, bias):
        if self.form != "plain":
            if bias is None:
                return self.node("Gelu", x, own=True)
            return self.node("BiasGelu", x, self.constant(bias), own=True)
        x = self.node("Add", x, self.constant(bias))
        half, one = (self.constant(np.array(value, np.float32)) for value in (0.5, 1))
        root = self.constant(np.array(2**0.5, np.float32))
        erf = self.node("Add", self.node("Erf", self.node("Div", x, root)), one)
        return self.node("Mul", self.node("Mul", x, erf), half)

    # --- attention ---------------------------------------------------------------------------------

    def attention(self, x, weights, biases):
        packed, bias = np.concatenate(weights).T, np.concatenate(biases)
        sizes = {"num_heads": HEADS}
        if packed.shape[1] != 3 * packed.shape[0]:
            sizes["qkv_hidden_sizes"] = [packed.shape[1] // 3] * 3
        if not self.int8:
            return self.node("Attention", x, self.constant(packed), self.constant(bias), own=True, **sizes)
        weight, scale, zero = self.quantised(packed)
        narrow, narrow_scale, narrow_zero = self.node("DynamicQuantizeLinear", x, outputs=3)
        return self.node("QAttention", narrow, weight, self.constant(bias), narrow_scale, scale, "", narrow_zero, zero,
                         own=True, num_heads=HEADS)

    def mha(self, x, weights, biases):
        parts = [self.product(x, weight) for weight in weights]
        return self.node("MultiHeadAttention", *parts, self.constant(np.concatenate(biases)), own=True, num_heads=HEADS)

    def plain(self, x, weights, biases):
        def heads(i, order):
            y = self.node("Reshape", self.product(x, weights[i], biases[i]),
                          self.constant(np.array([0, 0, HEADS, HIDDEN // HEADS], np.int64)))
            return self.node("Transpose", y, perm=order)

        q, k, v = heads(0, [0, 2, 1, 3]), heads(1, [0, 2, 3, 1]), heads(2, [0, 2, 1, 3])
        root = self.constant(np.array((HIDDEN // HEADS)**0.5, np.float32))
        scores = self.node("Softmax", self.node("Div", self.node("MatMul", q, k), root), axis=-1)
        y = self.node("Transpose", self.node("MatMul", scores, v), perm=[0, 2, 1, 3])
        return self.node("Reshape", y, self.constant(np.array([0, 0, HIDDEN], np.int64)))

    # --- the model ---------------------------------------------------------------------------------

    def block(self, x, name, end, hidden):
        get, dense = self.model.tensors.get, self.model.dense
        modules = [f"{name}attention.self.{module}{end}" for module in ("query", "key", "value")]
        # Quantised attention has no form for other widths than its input's.
        attend = self.mha if self.int8 and hidden != HIDDEN else getattr(self, self.form)
        context = attend(x, [get(m + ".weight") for m in modules], [get(m + ".bias") for m in modules])

        def product(where, y):
            """Where the bias goes into what comes next, it is left out here."""
            weight, bias = get(where + ".weight"), get(where + ".bias")
            return (self.product(y, weight, bias), None) if self.int8 else (self.product(y, weight), bias)

        y, bias = product(f"{name}attention.output.dense{end}", context)
        x = self.add_norm(y, x, f"{name}attention.output.LayerNorm{end}", bias)
        y, bias = product(f"{name}intermediate.{dense}{end}", x)
        y, bias = product(f"{name}output.dense{end}", self.gelu(y, bias))
        return self.add_norm(y, x, f"{name}output.LayerNorm{end}", bias)

    def embed(self):
        names = ["bert.embeddings.word_embeddings.weight", "bert.embeddings.position_embeddings.weight",
                 "bert.embeddings.token_type_embeddings.weight", "bert.embeddings.LayerNorm.weight",
                 "bert.embeddings.LayerNorm.bias"]
        return self.node("EmbedLayerNormalization", "input_ids", "segment_ids", *map(self.tensor, names), outputs=2, own=True,
                         epsilon=EPSILON)[0]

    def build(self):
        x = self.embed()
        for layer in range(LAYERS):
            blocks = self.model.blocks(layer)
            if len(blocks) == 1:
                x = self.block(x, *blocks[0])
                continue
            slices = self.node("Split", x, self.constant(np.array([HIDDEN // len(blocks)] * len(blocks), np.int64)),
                               outputs=len(blocks), axis=-1)
            x = self.node("Concat", *(self.block(s, *block) for s, block in zip(slices, blocks)), axis=-1)
        self.nodes.append(helper.make_node("Identity", [x], ["last_hidden_state"]))
        tokens = [helper.make_tensor_value_info(name, TensorProto.INT32, ["batch", "sequence"])
                  for name in ("input_ids", "segment_ids")]
        output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "sequence", HIDDEN])
        graph = helper.make_graph(self.nodes, "bert", tokens, [output],
                                  [numpy_helper.from_array(array, name) for name, array in self.weights.items()])
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def write(model, folder):
    for form in sum(FORMS.values(), ()):
        path = folder / f"{form}.onnx"
        onnx.save(Graph(model, form).build(), str(path))
