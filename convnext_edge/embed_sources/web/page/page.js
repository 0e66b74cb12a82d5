/** The page: opens pictures, shows answers and times, and says what goes wrong. */
(() => {
  "use strict";
  const ours = globalThis.convnextEdge;
  const TOP = 5;

  const element = (id) => document.getElementById(id);
  const percent = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
  const milliseconds = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

  let classifier = null;
  let picture; // the last that was classified
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

  function showSquare(square, edge) {
    const canvas = Object.assign(element("square"), { width: edge, height: edge });
    const image = new ImageData(edge, edge);
    for (let i = 0; i < edge * edge; i++) {
      image.data.set(square.subarray(3 * i, 3 * i + 3), 4 * i);
      image.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  function row({ index, label, probability }) {
    const item = document.createElement("li");
    item.dataset.index = index;
    const name = Object.assign(document.createElement("span"), { textContent: label, className: "label" });
    const number = Object.assign(document.createElement("span"), { textContent: percent.format(probability) });
    number.className = "number";
    const bar = Object.assign(document.createElement("progress"), { max: 1, value: probability });
    bar.setAttribute("aria-hidden", "true");
    item.append(name, number, bar);
    return item;
  }

  function showAnswer(name, found, square, times) {
    element("answer-title").textContent = name;
    element("classes").replaceChildren(...found.map(row));
    element("times").textContent =
      `${milliseconds(times.model)} in the model, ${milliseconds(times.prepare)} to resize and crop, ` +
      `${milliseconds(times.decode)} to open the file`;
    element("remarks").textContent = picture.remarks.join(" ");
    element("remarks").hidden = picture.remarks.length === 0;
    showSquare(square, classifier.manifest.resolution);
    element("answer").hidden = false;
    say(`${found[0].label}, ${percent.format(found[0].probability)}`);
  }

  /** Classifies a Blob or File; a newer one makes its answer void. */
  async function classify(file) {
    const name = file.name ?? "Picture";
    const turn = ++newest;
    clearError();
    say(`Classifying ${name} …`);
    try {
      const [opened, decode] = await timed(() => ours.decode(file));
      await paint();
      const [square, prepare] = await timed(() => classifier.prepare(opened));
      const [logits, model] = await timed(() => classifier.infer(square));
      if (turn !== newest) return;
      picture = opened;
      showAnswer(name, classifier.rank(logits, TOP), square, { decode, prepare, model });
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
      const result = await ours.bench(classifier, { image: picture, runs, loadMs, firstMs, report });
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
    else busily(() => classify(file));
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
  }

  function showModel() {
    const { engine, classes, resolution } = classifier.manifest;
    const digest = classifier.manifest.files.get(engine).slice(0, 12);
    element("model").textContent = `${engine} · ${classes} classes · ${resolution}×${resolution} pixels`;
    const threads = classifier.threads === 1 ? "1 thread" : `${classifier.threads} threads`;
    element("runtime").textContent = `ONNX Runtime Web ${classifier.runtimeVersion}, ${threads} · SHA-256 ${digest}…`;
  }

  /** `?threads=N` sets the threads of a call, `?bench` measures at once, `?runs=N` says how many calls. */
  async function start() {
    const wanted = new URLSearchParams(location.search);
    const threads = wanted.has("threads") ? Number(wanted.get("threads")) : undefined;
    if (wanted.has("runs")) element("runs").value = wanted.get("runs");
    try {
      [classifier, loadMs] = await timed(() => ours.load({ threads, report: say }));
      [, firstMs] = await timed(() => classifier.classify(ours.noise()));
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
