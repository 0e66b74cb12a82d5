/** SHA-256 (FIPS 180-4). The browser's own is missing where a page is served without TLS from another machine. */
(() => {
  "use strict";
  const ours = (globalThis.convnextEdge ??= {});

  const BLOCK = 64; // bytes

  /** The first 32 bits behind the point of the `root`-th roots of the first `count` primes. */
  function fractions(count, root) {
    const primes = [];
    for (let n = 2; primes.length < count; n++) if (primes.every((prime) => n % prime)) primes.push(n);
    return Int32Array.from(primes, (prime) => ((prime ** (1 / root)) % 1) * 2 ** 32);
  }

  const START = fractions(8, 2);
  const ROUNDS = fractions(64, 3);

  const rotate = (x, n) => (x >>> n) | (x << (32 - n));

  /** Mixes one block of `view` at `offset` into `state`; schedule: 64 words to work in. */
  function compress(state, view, offset, schedule) {
    for (let i = 0; i < 16; i++) schedule[i] = view.getInt32(offset + 4 * i);
    for (let i = 16; i < 64; i++) {
      const a = schedule[i - 15];
      const b = schedule[i - 2];
      const small = rotate(a, 7) ^ rotate(a, 18) ^ (a >>> 3);
      const large = rotate(b, 17) ^ rotate(b, 19) ^ (b >>> 10);
      schedule[i] = schedule[i - 16] + small + schedule[i - 7] + large;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i++) {
      const one = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
      const first = (h + one + ((e & f) ^ (~e & g)) + ROUNDS[i] + schedule[i]) | 0;
      const zero = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
      const second = (zero + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + first) | 0;
      d = c;
      c = b;
      b = a;
      a = (first + second) | 0;
    }
    [a, b, c, d, e, f, g, h].forEach((word, i) => (state[i] += word));
  }

  /** The bytes behind the last whole block, with the padding that the standard asks for. */
  function ending(bytes) {
    const rest = bytes.length % BLOCK;
    const made = new Uint8Array(rest + 9 > BLOCK ? 2 * BLOCK : BLOCK);
    made.set(bytes.subarray(bytes.length - rest));
    made[rest] = 0x80;
    new DataView(made.buffer).setBigUint64(made.length - 8, BigInt(bytes.length) * 8n);
    return made;
  }

  /** Hex digest of a Uint8Array. */
  function sha256(bytes) {
    const state = Int32Array.from(START);
    const schedule = new Int32Array(64);
    for (const part of [bytes.subarray(0, bytes.length - (bytes.length % BLOCK)), ending(bytes)]) {
      const view = new DataView(part.buffer, part.byteOffset, part.byteLength);
      for (let offset = 0; offset < part.length; offset += BLOCK) compress(state, view, offset, schedule);
    }
    return Array.from(state, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
  }

  ours.sha256 = sha256;
})();
