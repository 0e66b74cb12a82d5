/**
 * Resizing as Pillow does it (see "Filters" in its handbook, docs/handbook/concepts.rst): the kernel is stretched by
 * the factor of reduction, evaluated in double precision at the centres of the source pixels and normalized to a sum
 * of 1; weights are rounded to fixed point; rows and columns are resized in turn, with 8-bit samples in between.
 * PyTorch resizes 8-bit tensors in the same way with fewer bits (aten/src/ATen/native/cpu/UpSampleKernel.cpp).
 */
(() => {
  "use strict";
  const ours = (globalThis.convnextEdge ??= {});

  const PRECISION = 32 - 8 - 2; // bits behind a weight's point: 32, less 8 of a sample and 2 for what overshoots
  const TENSOR_BITS = 15; // of a weight of PyTorch's, beside the sign

  const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

  /** Keys' cubic convolution with a = -0.5. */
  function bicubic(x) {
    const a = -0.5;
    const d = Math.abs(x);
    if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    if (d < 2) return (((d - 5) * d + 8) * d - 4) * a;
    return 0;
  }

  /** Half width and value at a distance in (scaled) pixels, by Pillow's name. */
  const FILTERS = {
    bicubic: { support: 2, at: bicubic, ofTensors: true },
    bilinear: { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)), ofTensors: true },
    box: { support: 0.5, at: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
    hamming: { support: 1, at: (x) => (Math.abs(x) < 1 ? sinc(x) * (0.54 + 0.46 * Math.cos(Math.PI * x)) : 0) },
    lanczos: { support: 3, at: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
    nearest: { support: 0, at: null },
  };

  function findFilter(name) {
    if (Object.hasOwn(FILTERS, name)) return FILTERS[name];
    const known = Object.keys(FILTERS).join(", ");
    throw new ours.ArtifactError(`interpolation '${name}' is not known`, `Known: ${known}.`);
  }

  /** Along one axis: which source pixels make an output pixel, and how much of each, in fixed point. */
  class Taps {
    /**
     * For the outputs `first` to `first + count` of a resize from `source` to `target` pixels.
     *
     * ofTensors: whether the weights have 16 bits, as PyTorch's.
     */
    constructor(filter, source, target, { first, count }, ofTensors) {
      const scale = source / target;
      const stretch = Math.max(scale, 1);
      this.count = count;
      this.bits = PRECISION; // behind the point of a weight
      this.width = 2 * Math.ceil(filter.support * stretch) + 1; // most weights of an output
      this.begins = new Int32Array(count);
      this.ends = new Int32Array(count);
      this.weights = new Int32Array(count * this.width);
      if (filter.at === null) {
        this.#computeNearest(source, scale, first);
        return;
      }
      const exact = (output) => exactWeights(filter, (output + 0.5) * scale, stretch, source);
      if (ofTensors && filter.ofTensors) this.bits = bitsFor(largestWeight(exact, target));
      for (let i = 0; i < count; i++) this.#round(exact(first + i), i);
    }

    /** The first source pixel of the first output. */
    get begin() {
      return this.begins[0];
    }

    /** Behind the last source pixel of the last output. */
    get end() {
      return this.ends[this.count - 1];
    }

    #round({ begin, weights }, output) {
      weights.forEach((value, i) => {
        const weight = value * (1 << this.bits);
        this.weights[this.width * output + i] = Math.trunc(weight < 0 ? weight - 0.5 : weight + 0.5);
      });
      this.begins[output] = begin;
      this.ends[output] = begin + weights.length;
    }

    /** Adds the scale up from output to output, as Pillow does, whose rounding shows where a middle is an edge. */
    #computeNearest(source, scale, first) {
      let place = scale * 0.5;
      for (let output = 0; output < first; output++) place += scale;
      for (let output = 0; output < this.count; output++, place += scale) {
        this.#round({ begin: Math.min(Math.trunc(place), source - 1), weights: [1] }, output);
      }
    }
  }

  /** The source pixels of an output from `begin` on, and how much of each. */
  function exactWeights(filter, centre, stretch, source) {
    const support = filter.support * stretch;
    const inverse = 1 / stretch;
    const begin = Math.max(Math.trunc(centre - support + 0.5), 0);
    const end = Math.max(Math.min(Math.trunc(centre + support + 0.5), source), begin);
    const values = [];
    for (let i = 0; i < end - begin; i++) values.push(filter.at((i + begin - centre + 0.5) * inverse));
    const sum = values.reduce((total, value) => total + value, 0);
    return { begin, weights: sum !== 0 ? values.map((value) => value / sum) : values };
  }

  /** Of all outputs of an axis. */
  function largestWeight(exact, target) {
    let largest = 0;
    for (let output = 0; output < target; output++) largest = Math.max(largest, ...exact(output).weights);
    return largest;
  }

  /** As many bits as let the largest weight fit into 16, with its sign. */
  function bitsFor(largest) {
    let bits = 0;
    while (bits < PRECISION && Math.trunc(0.5 + largest * 2 ** (bits + 1)) < 2 ** TENSOR_BITS) bits++;
    return bits;
  }

  /**
   * Resizes rows. samples: (rows, width, channels), of which the rows from `first` to `last` and the first three
   * channels are taken; `shift`: the source pixel that column 0 is. Returns (last - first, taps.count, 3) bytes.
   */
  function resizeRows({ samples, width, channels, shift = 0 }, first, last, taps) {
    const made = new Uint8ClampedArray((last - first) * taps.count * 3);
    const half = (1 << taps.bits) >> 1;
    let at = 0;
    for (let y = first; y < last; y++) {
      for (let x = 0; x < taps.count; x++) {
        let pixel = (y * width + taps.begins[x] - shift) * channels;
        let red = half;
        let green = half;
        let blue = half;
        const end = taps.width * x + taps.ends[x] - taps.begins[x];
        for (let i = taps.width * x; i < end; i++, pixel += channels) {
          const weight = taps.weights[i];
          red += weight * samples[pixel];
          green += weight * samples[pixel + 1];
          blue += weight * samples[pixel + 2];
        }
        made[at++] = red >> taps.bits;
        made[at++] = green >> taps.bits;
        made[at++] = blue >> taps.bits;
      }
    }
    return made;
  }

  /**
   * Resizes columns. samples: (rows, width, channels), of which the columns from `first` to `last` and the first
   * three channels are taken; `shift`: the source pixel that row 0 is. Returns (taps.count, last - first, 3) bytes.
   */
  function resizeColumns({ samples, width, channels, shift = 0 }, first, last, taps) {
    const made = new Uint8ClampedArray(taps.count * (last - first) * 3);
    const sums = new Int32Array((last - first) * 3);
    for (let y = 0; y < taps.count; y++) {
      sums.fill((1 << taps.bits) >> 1);
      for (let row = taps.begins[y]; row < taps.ends[y]; row++) {
        const weight = taps.weights[taps.width * y + row - taps.begins[y]];
        let pixel = ((row - shift) * width + first) * channels;
        for (let i = 0; i < sums.length; i += 3, pixel += channels) {
          sums[i] += weight * samples[pixel];
          sums[i + 1] += weight * samples[pixel + 1];
          sums[i + 2] += weight * samples[pixel + 2];
        }
      }
      for (let i = 0; i < sums.length; i++) made[y * sums.length + i] = sums[i] >> taps.bits;
    }
    return made;
  }

  Object.assign(ours, { findFilter, Taps, resizeRows, resizeColumns });
})();
