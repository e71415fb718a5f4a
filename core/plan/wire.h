/* SPDX-License-Identifier: MIT
 *
 * wire.h -- how floats travel: as they are, as 16-bit floats, or as bytes with a scale for each
 * row.
 */
#ifndef DTR_PLAN_WIRE_H
#define DTR_PLAN_WIRE_H

#include <detransformer/kernel.h>

/* Bytes that `values` floats in `rows` rows take on the wire. */
uint64_t dtr_wire_bytes(uint8_t wire, uint64_t rows, uint64_t values);

/* Encodes a rectangle of floats (row stride in floats); returns the end of what was written. */
uint8_t *dtr_wire_encode(uint8_t wire, const float *in, size_t stride, uint32_t rows,
                         uint32_t columns, uint8_t *out);

/* Decodes to a rectangle, or adds to it; returns the end of what was read. */
const uint8_t *dtr_wire_decode(uint8_t wire, const uint8_t *in, float *out, size_t stride,
                               uint32_t rows, uint32_t columns);
const uint8_t *dtr_wire_add(uint8_t wire, const uint8_t *in, float *out, size_t stride,
                            uint32_t rows, uint32_t columns);

#endif
