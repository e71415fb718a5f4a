// SPDX-License-Identifier: MIT
// ONNX Runtime as a peer: node ort_peer.js PACKAGE MODEL.onnx IDS BATCH THREADS; speaks as ours.c does.
'use strict';
const fs = require('fs');
const readline = require('readline');
const [packageFolder, model, idsFile, batch, threads] = process.argv.slice(2);
const ort = require(packageFolder);

async function main() {
    const session = await ort.InferenceSession.create(model, {
        graphOptimizationLevel: 'all',
        executionMode: 'sequential',
        intraOpNumThreads: Number(threads),
        interOpNumThreads: 1,
        logSeverityLevel: 3,
    });
    const bytes = fs.readFileSync(idsFile);
    const wide = new BigInt64Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    const ids = Int32Array.from(wide, Number);
    const dims = [Number(batch), ids.length / Number(batch)];
    const feeds = {
        input_ids: new ort.Tensor('int32', ids, dims),
        segment_ids: new ort.Tensor('int32', new Int32Array(ids.length), dims),
    };
    let output = await session.run(feeds);
    console.log('ready ONNX Runtime ' + require(packageFolder + '/package.json').version);
    for await (const line of readline.createInterface({ input: process.stdin })) {
        if (line.startsWith('dump ')) {
            const data = output.last_hidden_state.data;
            fs.writeFileSync(line.slice(5), Buffer.from(data.buffer, data.byteOffset, data.byteLength));
            console.log('dumped');
            continue;
        }
        const took = [];
        for (let i = 0; i < Number(line); i++) {
            const begin = process.hrtime.bigint();
            output = await session.run(feeds);
            took.push(Number(process.hrtime.bigint() - begin) * 1e-6);
        }
        console.log(took.map((ms) => ms.toFixed(6)).join(' '));
    }
}

main().catch((error) => {
    console.error('ort_peer: ' + error.message);
    process.exit(1);
});
