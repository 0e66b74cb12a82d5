/**
 * Where the files of this folder come from: a server, or scripts that hold copies of them (offline/), since a page
 * opened from disk may load scripts but read no files.
 */
(() => {
  "use strict";
  const ours = (globalThis.convnextEdge ??= {});

  const stored = new Map(); // texts in base64 by name: gzip in parts

  /** What the scripts of offline/ call. */
  function store(name, parts) {
    stored.set(name, parts);
  }

  function fromBase64(text) {
    const binary = atob(text);
    const made = new Uint8Array(binary.length);
    for (let i = 0; i < made.length; i++) made[i] = binary.charCodeAt(i);
    return made;
  }

  async function unpack(name, parts) {
    try {
      const stream = new Blob(parts.map(fromBase64)).stream().pipeThrough(new DecompressionStream("gzip"));
      return new Uint8Array(await new Response(stream).arrayBuffer());
    } catch (error) {
      throw new ours.ArtifactError(`${name} cannot be unpacked: ${error.message}`, "Make the folder again.");
    }
  }

  function loadScript(path) {
    return new Promise((resolve, reject) => {
      const fail = () => reject(new ours.ArtifactError(`${path} cannot be loaded`, "Take the folder over as a whole."));
      const script = Object.assign(document.createElement("script"), { src: path, onload: resolve, onerror: fail });
      document.head.append(script);
    });
  }

  /** Reads from the scripts in `folder`, one for each folder that is read from; each is loaded when it is needed. */
  function storedFiles(folder = "offline/") {
    const scripts = new Map();
    return async (name) => {
      const script = `${folder}${name.split("/")[0]}.js`;
      if (!scripts.has(script)) scripts.set(script, loadScript(script));
      await scripts.get(script);
      if (!stored.has(name)) throw new ours.ArtifactError(`${script} does not hold ${name}`, "Make the folder again.");
      const parts = stored.get(name);
      stored.delete(name); // it is large, and read once
      return unpack(name, parts);
    };
  }

  /** Reads from a server; base: URL of this folder. */
  function servedFiles(base = "") {
    return async (name) => {
      let answer;
      try {
        answer = await fetch(base + name.split("/").map(encodeURIComponent).join("/"));
      } catch (error) {
        throw new ours.ArtifactError(`${name} cannot be fetched: ${error.message}`, "Is the server still there?");
      }
      if (!answer.ok) {
        const said = `${answer.status} ${answer.statusText}`.trim();
        const what = `${name} cannot be fetched: the server says ${said}`;
        throw new ours.ArtifactError(what, "Serve the folder as a whole.");
      }
      return new Uint8Array(await answer.arrayBuffer());
    };
  }

  Object.assign(ours, { store, storedFiles, servedFiles });
})();
