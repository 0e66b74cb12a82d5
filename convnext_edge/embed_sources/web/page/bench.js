/** Latency on this device, as the object that `convnext-edge benchmark --json` prints. */
(() => {
  "use strict";
  const ours = (globalThis.convnextEdge ??= {});

  const WARM_UP = 3;

  /** Lets the page show what happened so far. */
  const breathe = () => new Promise((resolve) => setTimeout(resolve));

  async function timeCalls(runs, call, report) {
    const times = [];
    for (let turn = -WARM_UP; turn < runs; turn++) {
      if (turn >= 0 && turn % 10 === 0) report(turn, runs);
      await breathe();
      const started = performance.now();
      await call();
      if (turn >= 0) times.push(performance.now() - started);
    }
    return times.sort((a, b) => a - b);
  }

  /** Linear between the neighbours, as NumPy does it. sorted: milliseconds, at least one. */
  function percentile(sorted, percent) {
    const position = (percent / 100) * (sorted.length - 1);
    const below = sorted[Math.floor(position)];
    const above = sorted[Math.min(Math.floor(position) + 1, sorted.length - 1)];
    return below + (position % 1) * (above - below);
  }

  const round = (value) => Math.round(value * 1e4) / 1e4;

  function percentiles(times) {
    const [p50, p90, p99] = [50, 90, 99].map((percent) => round(percentile(times, percent)));
    return { p50, p90, p99, min: round(times[0]) };
  }

  /** A picture of 640x480 pixels, the same each time (Numerical Recipes' linear congruential generator). */
  function noise() {
    const image = { data: new Uint8ClampedArray(4 * 640 * 480).fill(255), width: 640, height: 480 };
    for (let i = 0, state = 1; i < image.data.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      if (i % 4 !== 3) image.data[i] = state >>> 24;
    }
    return image;
  }

  /** The whole answer to a picture: the call has the name of the task. */
  const answer = (model, image) => model[model.manifest.task](image);

  /**
   * Times single calls of the engine, and whole answers from `image` (noise where there is none).
   *
   * A browser tells neither CPU nor memory, so these keys are null, as is all that needs the reference, which is not
   * here. loadMs, firstMs: what `load` and the first answer took. report: called with how many calls of how many are
   * done.
   */
  async function bench(model, { image, runs = 50, loadMs, firstMs, report = () => undefined } = {}) {
    if (!Number.isInteger(runs) || runs < 1) {
      throw new ours.UsageError(`runs ${runs} is no whole number from 1`, "Give one.");
    }
    const picture = image ?? noise();
    const square = model.prepare(picture);
    const engine = await timeCalls(runs, () => model.infer(square), (done) => report(done, 2 * runs));
    const whole = await timeCalls(runs, () => answer(model, picture), (done) => report(runs + done, 2 * runs));
    return {
      artifact: `model/${model.manifest.engine}`,
      target: model.manifest.runtime,
      runtime_version: `onnxruntime-web ${model.runtimeVersion}`,
      batch: 1,
      threads: model.threads,
      runs,
      cpu: null,
      isa: ["wasm_simd128"],
      candidate_ms: percentiles(engine),
      reference_ms: null,
      speedup: null,
      speedup_ci95: null,
      reliable: !doubt(engine),
      doubt: doubt(engine),
      throughput_ips: Math.round(1e5 / percentile(engine, 50)) / 100,
      peak_rss_bytes: null,
      gates: [],
      passed: true,
      fp16_ms: null,
      device: null,
      advice: null,
      hint: "latency",
      candidate_histogram: null,
      reference_histogram: null,
      throughput: null,
      layers: [],
      sweep: [],
      load_ms: loadMs === undefined ? null : round(loadMs),
      first_answer_ms: firstMs === undefined ? null : round(firstMs),
      end_to_end_ms: percentiles(whole),
      picture: `${picture.width}x${picture.height}`,
      logical_processors: navigator.hardwareConcurrency ?? null,
      browser: navigator.userAgent,
    };
  }

  /** Why times are not to be relied on; empty where they are, as on a quiet machine. */
  function doubt(times) {
    const ratio = percentile(times, 50) / percentile(times, 0);
    return ratio > 2 ? `a median is ${ratio.toFixed(1)} times the least time` : "";
  }

  Object.assign(ours, { bench, noise, answer });
})();
