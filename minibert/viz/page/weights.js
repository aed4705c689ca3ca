// The weights as a page keeps them: one run of bytes, and a table that says where each tensor is.

/** Base64 to bytes. */
export function decode(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** Half precision to a number: sign, 5 bits of exponent, 10 of fraction. */
export function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/**
 * A Float32Array for each tensor of the table `{name: {kind, shape, at}}`.
 *
 * `float32` and `float16` are numbers as they are. `int8` has a scale for each row, in float32, and
 * then the rows: a weight is its row's scale times a whole number from -127 to 127.
 */
export function unpack(table, bytes) {
  const weights = {};
  for (const [name, { kind, shape, at }] of Object.entries(table)) {
    const size = shape.reduce((product, length) => product * length, 1);
    const start = bytes.byteOffset + at;
    if (kind === "float32") {
      weights[name] = new Float32Array(bytes.buffer, start, size);
    } else if (kind === "float16") {
      weights[name] = Float32Array.from(new Uint16Array(bytes.buffer, start, size), half);
    } else {
      const rows = shape[0], columns = size / rows;
      const scales = new Float32Array(bytes.buffer, start, rows);
      const whole = new Int8Array(bytes.buffer, start + 4 * rows, size);
      const values = (weights[name] = new Float32Array(size));
      for (let row = 0; row < rows; row++) {
        for (let i = row * columns; i < (row + 1) * columns; i++) values[i] = scales[row] * whole[i];
      }
    }
  }
  return weights;
}
