/** Of a segmenter: the class of each pixel, the colours of classes, and a picture below them. */
(() => {
  "use strict";
  const ours = (globalThis.convnextEdge ??= {});

  /** The class with the largest logit of each pixel, the lower one among equals. logits: (classes, rows, columns). */
  function classesOf(logits, pixels) {
    const largest = logits.slice(0, pixels);
    const classes = new Uint32Array(pixels);
    for (let index = 1, i = pixels; i < logits.length; index++) {
      for (let pixel = 0; pixel < pixels; pixel++, i++) {
        if (logits[i] > largest[pixel]) {
          largest[pixel] = logits[i];
          classes[pixel] = index;
        }
      }
    }
    return classes;
  }

  /**
   * Red, green and blue of a class: those of Pascal VOC, as in the files of `convnext-edge predict --maps`.
   * Source: VOClabelcolormap of the VOC development kit (Everingham et al., 2010): the bits of the number, spread out.
   */
  function colorOf(index) {
    const color = [0, 0, 0];
    for (let bit = 7, rest = index; bit >= 0; bit--, rest >>= 3) {
      for (let channel = 0; channel < 3; channel++) color[channel] |= ((rest >> channel) & 1) << bit;
    }
    return color;
  }

  /** The mean of two bytes; of a half, the even one, as NumPy rounds. */
  function mean(a, b) {
    const half = (a + b) >> 1;
    return half + ((a + b) & half & 1);
  }

  /** A picture (rows, columns, 3) below the colours of its classes (rows, columns). */
  function overlay(pixels, classes) {
    const colors = new Map();
    const drawn = new Uint8Array(pixels.length);
    classes.forEach((index, i) => {
      if (!colors.has(index)) colors.set(index, colorOf(index));
      colors.get(index).forEach((value, channel) => {
        drawn[3 * i + channel] = mean(pixels[3 * i + channel], value);
      });
    });
    return drawn;
  }

  /** The classes that pixels have, each with its share of them, the largest first: `{ index, share }`. */
  function shares(classes) {
    const counts = new Map();
    for (const index of classes) counts.set(index, (counts.get(index) ?? 0) + 1);
    return [...counts]
      .map(([index, count]) => ({ index, share: count / classes.length }))
      .sort((a, b) => b.share - a.share || a.index - b.index);
  }

  Object.assign(ours, { classesOf, colorOf, overlay, shares });
})();
