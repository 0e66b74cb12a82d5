/** The page: opens pictures, shows answers and times, and says what goes wrong. */
(() => {
  "use strict";
  const ours = globalThis.convnextEdge;
  const TOP = 5;
  const MOST = 100; // values of a regression, and classes of pixels
  /** Of each task, what the page is called, and what it does meanwhile. */
  const WORDS = {
    classify: { title: "Classify a picture", doing: "Classifying" },
    multilabel: { title: "Label a picture", doing: "Labelling" },
    regress: { title: "Measure a picture", doing: "Measuring" },
    embed: { title: "Embed a picture", doing: "Embedding" },
    features: { title: "Maps of a picture", doing: "Mapping" },
    segment: { title: "Segment a picture", doing: "Segmenting", cover: "Colours of the classes" },
    detect: { title: "Find objects in a picture", doing: "Looking at", cover: "Masks and boxes" },
  };

  const element = (id) => document.getElementById(id);
  const percent = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
  const milliseconds = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

  let model = null;
  let picture; // the last that was answered
  let before = null; // the embedding of the picture before
  let seen; // what the model saw of the picture: (resolution, width, 3) bytes
  let labelMap = null; // of the picture, where the model is a segmenter
  let objects = null; // in what the model saw, where it is a detector
  let last; // what the answer was made of
  let loadMs;
  let firstMs; // of the first answer: a browser translates the program while it runs first
  let newest = 0; // number of the picture that was chosen last

  const say = (text) => (element("status").textContent = text);

  function showError(error, what = "") {
    const place = element("error");
    const hint = error.hint ? ` ${error.hint}` : "";
    place.textContent = `${what}${error.message.replace(/[.]?$/, ".")}${hint}`;
    place.hidden = false;
    if (!(error instanceof ours.ConvNeXtEdgeError)) console.error(error);
  }

  /** The value that `work` comes to; meanwhile the page is marked as busy. */
  async function busily(work) {
    document.body.dataset.tasks = Number(document.body.dataset.tasks ?? 0) + 1;
    try {
      return await work();
    } finally {
      document.body.dataset.tasks -= 1;
    }
  }

  const clearError = () => (element("error").hidden = true);

  /** Lets the browser paint before a long computation. */
  const paint = () => new Promise((resolve) => setTimeout(resolve, 20));

  /** The value that `call` comes to, and the milliseconds that it took. */
  async function timed(call) {
    const started = performance.now();
    const value = await call();
    return [value, performance.now() - started];
  }

  /** What the model saw below what it found there: the colours of the classes, or the objects. */
  function covered() {
    if (labelMap) return ours.overlay(seen, labelMap.classes);
    return objects ? ours.overlayObjects(seen, model.manifest.width, objects) : seen;
  }

  function showPixels() {
    const { resolution: height, width } = model.manifest;
    const [canvas, isCovered] = [element("square"), element("covered").checked];
    ours.drawPixels(canvas, isCovered ? covered() : seen, width, height);
    if (!objects || !isCovered) return;
    ours.drawNames(canvas, objects, ({ label, score }) => `${label} ${percent.format(score)}`);
  }

  /** A line of the answer. share: from 0 to 1, shown as a bar; color: of a class; undefined where there is none. */
  function row({ index, label, text, share, color }) {
    const item = document.createElement("li");
    if (index !== undefined) item.dataset.index = index;
    const name = Object.assign(document.createElement("span"), { textContent: label, className: "label" });
    const number = Object.assign(document.createElement("span"), { textContent: text, className: "number" });
    item.append(name, number);
    if (color !== undefined) {
      const swatch = Object.assign(document.createElement("span"), { className: "swatch" });
      swatch.style.backgroundColor = `rgb(${color.join(" ")})`;
      name.prepend(swatch);
    }
    if (share !== undefined) {
      const bar = Object.assign(document.createElement("progress"), { max: 1, value: share });
      bar.setAttribute("aria-hidden", "true");
      item.append(bar);
    }
    return item;
  }

  const ofPrediction = ({ index, label, probability }) => {
    return { index, label, text: percent.format(probability), share: probability };
  };

  const ofOutput = ({ name, shape }) => ({ label: name, text: shape.join(" × ") });

  /** Numbers of a vector, as many as a line takes. */
  const beginning = (values) => [...values.slice(0, TOP)].map((value) => value.toPrecision(4)).join("  ");

  /** Lines of the answer from the outputs, by task. */
  const ROWS = {
    classify: ([{ values }]) => model.rank(values, TOP).map(ofPrediction),
    multilabel: ([{ values }]) => {
      const found = model.judge(values).sort((a, b) => b.probability - a.probability || a.index - b.index);
      return found.slice(0, TOP).map(ofPrediction);
    },
    regress: ([{ values }]) => {
      const rows = Array.from(values, (value, index) => ({ index, label: model.labels[index], text: value.toPrecision(6) }));
      return rows.slice(0, MOST);
    },
    embed: (outputs) => {
      const [{ values }] = outputs;
      const rows = [...outputs.map(ofOutput), { label: "begins with", text: beginning(values) }];
      if (before) rows.push({ label: "cosine to the picture before", text: ours.cosine(before, values).toFixed(4) });
      before = values;
      return rows;
    },
    features: (outputs) => outputs.map(ofOutput),
    segment: ([{ values }]) => {
      labelMap = model.labelMap(values);
      const rows = ours.shares(labelMap.classes).map(({ index, share }) => {
        return { index, label: model.labels[index], text: percent.format(share), share, color: ours.colorOf(index) };
      });
      return rows.slice(0, MOST);
    },
    detect: (outputs) => {
      objects = model.objects(outputs, { threshold: Number(element("threshold").value) });
      return objects.map((object) => {
        const { index, label, score } = object;
        return { index, label, text: percent.format(score), share: score, color: ours.colorOfObject(object) };
      });
    },
  };

  /** Shows what the outputs mean. */
  function showRows() {
    const rows = ROWS[model.manifest.task](last);
    element("classes").replaceChildren(...rows.map(row));
    showPixels();
    say(rows.length > 0 ? `${rows[0].label}, ${rows[0].text}` : "No objects.");
  }

  function showAnswer(name, times) {
    element("answer-title").textContent = name;
    showRows();
    element("times").textContent =
      `${milliseconds(times.model)} in the model, ${milliseconds(times.prepare)} to resize and crop, ` +
      `${milliseconds(times.decode)} to open the file`;
    element("remarks").textContent = picture.remarks.join(" ");
    element("remarks").hidden = picture.remarks.length === 0;
    element("answer").hidden = false;
  }

  /** Answers a Blob or File; a newer one makes its answer void. */
  async function answer(file) {
    const name = file.name ?? "Picture";
    const turn = ++newest;
    clearError();
    say(`${WORDS[model.manifest.task].doing} ${name} …`);
    try {
      const [opened, decode] = await timed(() => ours.decode(file, model.manifest));
      await paint();
      const [pixels, prepare] = await timed(() => model.prepare(opened));
      const [outputs, inModel] = await timed(() => model.compute(pixels));
      if (turn !== newest) return;
      [picture, seen, last] = [opened, pixels, outputs];
      showAnswer(name, { decode, prepare, model: inModel });
    } catch (error) {
      if (turn !== newest) return;
      element("answer").hidden = true;
      say("");
      showError(error, `${name}: `);
    }
  }

  async function measure() {
    clearError();
    element("measure").disabled = true;
    try {
      const runs = Number(element("runs").value);
      const report = (done, all) => say(`Measuring: ${done} of ${all} calls`);
      const result = await ours.bench(model, { image: picture, runs, loadMs, firstMs, report });
      element("measured").textContent = JSON.stringify(result, null, 2);
      element("measured").hidden = false;
      element("copy").hidden = false;
      say(`${milliseconds(result.candidate_ms.p50)} a call (median of ${runs}), ${result.throughput_ips} pictures a second`);
    } catch (error) {
      say("");
      showError(error, "Measuring failed: ");
    } finally {
      element("measure").disabled = false;
    }
  }

  async function copy() {
    const range = document.createRange();
    range.selectNodeContents(element("measured"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    try {
      await navigator.clipboard.writeText(element("measured").textContent);
      say("Copied.");
    } catch {
      say("The text is selected: copy it with the keys of your system.");
    }
  }

  /** The first picture among what was dropped or pasted; null where there is none. */
  const fileOf = (transfer) => [...(transfer?.files ?? [])][0] ?? null;

  function take(file) {
    if (element("file").disabled) return; // the model is not there yet
    if (file === null) showError(new ours.ImageError("that was no file", "Drop or paste a picture."));
    else busily(() => answer(file));
  }

  function listen() {
    const drop = element("drop");
    element("file").addEventListener("change", ({ target }) => {
      if (target.files.length > 0) take(target.files[0]);
      target.value = ""; // so that the same file can be chosen again
    });
    for (const kind of ["dragover", "dragleave", "drop"]) {
      addEventListener(kind, (event) => {
        event.preventDefault(); // or the browser would leave the page for the picture
        drop.classList.toggle("over", kind === "dragover");
        if (kind === "drop") take(fileOf(event.dataTransfer));
      });
    }
    addEventListener("paste", (event) => {
      if (fileOf(event.clipboardData)) take(fileOf(event.clipboardData));
    });
    element("measure").addEventListener("click", () => busily(measure));
    element("copy").addEventListener("click", copy);
    element("covered").addEventListener("change", showPixels);
    element("threshold").addEventListener("input", ({ target }) => {
      element("said").textContent = `${Math.round(100 * target.value)} %`;
      showRows();
    });
  }

  /** What the model answers, in a word or two. */
  function answers() {
    const { task, classes, outputs, firstLabel } = model.manifest;
    if (task === "classify") return `${classes} classes`;
    if (task === "multilabel") return `${classes} labels`;
    if (task === "segment") return `${classes} classes of pixels`;
    if (task === "detect") return `objects of ${classes - firstLabel} classes`;
    return task === "regress" ? `${classes} values` : outputs.join(", ");
  }

  function showModel() {
    const { engine, task, resolution, width } = model.manifest;
    const digest = model.manifest.files.get(engine).slice(0, 12);
    element("title").textContent = document.title = WORDS[task].title;
    element("answer").dataset.task = task;
    element("cover-name").textContent = WORDS[task].cover ?? "";
    element("cover").hidden = !WORDS[task].cover;
    element("sure").hidden = task !== "detect";
    element("model").textContent = `${engine} · ${answers()} · ${resolution}×${width} pixels`;
    const threads = model.threads === 1 ? "1 thread" : `${model.threads} threads`;
    element("runtime").textContent = `ONNX Runtime Web ${model.runtimeVersion}, ${threads} · SHA-256 ${digest}…`;
  }

  /** `?threads=N` sets the threads of a call, `?bench` measures at once, `?runs=N` says how many calls. */
  async function start() {
    const wanted = new URLSearchParams(location.search);
    const threads = wanted.has("threads") ? Number(wanted.get("threads")) : undefined;
    if (wanted.has("runs")) element("runs").value = wanted.get("runs");
    try {
      [model, loadMs] = await timed(() => ours.load({ threads, report: say }));
      [, firstMs] = await timed(() => ours.answer(model, ours.noise()));
    } catch (error) {
      say("");
      showError(error, "The model cannot be loaded: ");
      return;
    }
    showModel();
    element("file").disabled = false;
    element("measure").disabled = false;
    say("Ready.");
    if (wanted.has("bench")) {
      element("bench").open = true;
      await measure();
    }
  }

  listen();
  busily(start);
})();
