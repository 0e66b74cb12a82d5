package convnext.edge

import java.io.ByteArrayOutputStream
import java.io.IOException
import java.io.InputStream
import java.security.MessageDigest

/** Opens a file of the model's folder by its name, as `{ assets.open("model/$it") }`. Throws IOException. */
fun interface Files {
    fun open(name: String): InputStream
}

/** What is resized: the shorter edge, each edge, or the longer edge; in the last, the image lies in the upper left corner. */
internal enum class ResizeMode { CENTER, SQUASH, PAD, CORNER }

/** What `convnext-edge embed` says of the engine: convnext_edge.txt, lines of a key and a value. */
internal class Manifest(text: String) {
    private val pairs = text.trimEnd('\n').split('\n').map { it.substringBefore(' ') to it.substringAfter(' ', "") }

    init {
        val twice = pairs.map { it.first }.filter { it != FILE }.groupBy { it }.values.find { it.size > 1 }
        if (twice != null) throw damaged("it has ${twice.first()} twice")
        val format = text("format")
        if (format !in FORMATS) {
            val what = "$NAME has format $format, this version reads 1 to 4"
            throw ArtifactException(what, "Embed again with the version of these sources.")
        }
    }

    val engine = text("engine")
    val runtime = text("runtime")
    val runtimeVersion = text("runtime_version")
    val takesBytes = readInput()
    val task = readTask()
    val outputs = readOutputs()

    /** Rows and columns of the input. */
    val resolution = numbers("resolution", 1) { it.toIntOrNull() }.single()
    val width = if (has("width")) numbers("width", 1) { it.toIntOrNull() }.single() else resolution
    private val saidCrop = numbers("crop", 1) { it.toDoubleOrNull() }.single()

    /** What is resized to `resize`, or to the input's edges through `crop`. */
    val resizeMode = readResizeMode()

    /** Part of the resized edge that is kept. Before format 3, a squashed image was not cropped. */
    val crop = if (resizeMode == ResizeMode.SQUASH && !has("resize_mode")) 1.0 else saidCrop

    /** Edge before the crop in pixels; null where `crop` tells it. */
    val resize = if (has("resize")) numbers("resize", 1) { it.toIntOrNull() }.single() else null

    /** Whether a margin of half a pixel is rounded down; otherwise to the even number. */
    val roundDown = word("crop_rounding", listOf("half_even", "floor")) == "floor"

    /** Whether images are resized as PyTorch does with 8-bit tensors. */
    val ofTensors = word("resampler", listOf("pillow", "pytorch")) == "pytorch"

    /** Red, green and blue of what is padded. */
    val padColor = if (has("pad_color")) numbers("pad_color", 3) { it.toIntOrNull() } else listOf(0, 0, 0)

    /** Whether photographs are to be turned as their EXIF orientation says. */
    val upright = word("exif", BOOLEANS) == "true"
    val interpolation = text("interpolation")
    val mean = numbers("mean", 3) { it.toDoubleOrNull() }
    val std = numbers("std", 3) { it.toDoubleOrNull() }
    val classes = numbers("classes", 1) { it.toIntOrNull() }.single()

    /** Of a detector, the first class that objects may have, and the most objects that are found in an image. */
    val firstLabel = if (task == "detect") numbers("first_label", 1) { it.toIntOrNull() }.single() else 0
    val detections = if (task == "detect") numbers("detections", 1) { it.toIntOrNull() }.single() else 0

    /** SHA-256 by name. */
    val files: Map<String, String> = pairs.filter { it.first == FILE }.associate { (_, line) ->
        if (!Regex("[0-9a-f]{64} .+").matches(line) || !isPlain(line.drop(65))) throw damaged("file is '$line'")
        line.drop(65) to line.take(64)
    }

    init {
        val labelled = if (task == "embed" || task == "features") 0..0 else 1..(1 shl 24)
        val sizes = listOf(resolution, width).all { it in 1..(1 shl 14) } && classes in labelled
        if (!sizes || !(crop <= 1 && crop * (1 shl 30) >= maxOf(resolution, width))) {
            throw damaged("resolution, crop, resize or classes are out of range")
        }
        if (resize != null && resize !in maxOf(resolution, width)..(1 shl 14)) {
            throw damaged("resolution, crop, resize or classes are out of range")
        }
        if (task == "detect" && !(firstLabel in 0 until minOf(2, classes) && detections in 1..MOST_DETECTIONS)) {
            throw damaged("first_label or detections are out of range")
        }
        if (!padColor.all { it in 0..255 }) throw damaged("pad_color is out of range")
        if (!mean.all { it in 0.0..1.0 } || !std.all { it > 0 && it <= 1 }) {
            throw damaged("mean or std are out of range")
        }
        for (name in listOf(engine, LABELS)) {
            if (name !in files) throw damaged("it has no digest of $name")
        }
        if (runtime != RUNTIME) {
            val what = "$engine is an engine for $runtime, this library is for ONNX Runtime"
            throw TargetException(what, "Build one: convnext-edge build --target $RUNTIME")
        }
    }

    private fun readTask(): String {
        val found = if (has("task")) text("task") else "classify"
        if (found in FIRST) return found
        throw ArtifactException("task '$found' is not known", "Known: ${FIRST.keys.joinToString()}.")
    }

    /** Names: a vector where the task has one, and maps; or those of a detector. */
    private fun readOutputs(): List<String> {
        val said = if (task == "classify" && !has("outputs")) "logits" else text("outputs")
        val names = said.split(' ')
        val vector = FIRST.getValue(task)
        val maps = if (vector.isEmpty()) names else names.drop(1)
        val areMaps = (vector.isEmpty() || names.first() == vector) && maps.all { Regex("map[0-9]{0,2}").matches(it) }
        val fits = if (task == "detect") names == OF_DETECTORS else areMaps
        if (!fits || names.toSet().size != names.size) throw damaged("outputs is '$said'")
        return names
    }

    /** Before format 3, a crop of 1 squashes the whole image where `squash` does not say otherwise. */
    private fun readResizeMode(): ResizeMode {
        if (has("resize_mode")) {
            return ResizeMode.valueOf(word("resize_mode", listOf("center", "squash", "pad", "corner")).uppercase())
        }
        val squashes = if (has("squash")) word("squash", BOOLEANS) == "true" else saidCrop == 1.0
        return if (squashes) ResizeMode.SQUASH else ResizeMode.CENTER
    }

    /** The value of a key, which must be one of `words`; the first where it is not said. */
    private fun word(key: String, words: List<String>): String {
        val said = if (has(key)) text(key) else words.first()
        if (said !in words) throw damaged("$key is '$said'")
        return said
    }

    private fun readInput(): Boolean = when (val said = text("input")) {
        "uint8" -> true
        "float32" -> false
        else -> throw damaged("input is '$said'")
    }

    private fun has(key: String): Boolean = pairs.any { it.first == key }

    private fun text(key: String): String =
        pairs.find { it.first == key }?.second ?: throw damaged("it has no $key")

    private fun <T : Any> numbers(key: String, count: Int, parse: (String) -> T?): List<T> {
        val values = text(key).split(' ').mapNotNull(parse)
        if (values.size != count || text(key).split(' ').size != count) throw damaged("$key is '${text(key)}'")
        return values
    }

    companion object {
        const val NAME = "convnext_edge.txt"
        const val LABELS = "labels.txt"
        private const val FILE = "file" // the one key that may come again

        // 2: what older libraries would take for a classifier of squares; 3: images they would prepare otherwise; 4:
        // images in a corner
        private val FORMATS = listOf("1", "2", "3", "4")
        private val BOOLEANS = listOf("false", "true")

        // Each task, and the name of its first output; the other outputs are maps, but for those of a detector.
        private val FIRST = linkedMapOf(
            "classify" to "logits",
            "multilabel" to "logits",
            "regress" to "values",
            "embed" to "embedding",
            "features" to "",
            "segment" to "logits",
            "detect" to "boxes",
        )
        private val OF_DETECTORS = listOf("boxes", "labels", "scores", "masks")
        private const val MOST_DETECTIONS = 1 shl 16
        private const val MAX_BYTES = 1 shl 20 // of the manifest; usual are up to 2 KiB
        private const val MAX_NAME = 199 // bytes of a file name
        private const val RUNTIME = "onnxruntime"
        private const val AGAIN = "Make the folder again: convnext-edge embed."

        private fun damaged(why: String) = ArtifactException("$NAME is damaged: $why", AGAIN)

        /** The files that the manifest lists, each after its digest was checked. Throws ArtifactException. */
        fun load(source: Files): Pair<Manifest, Map<String, ByteArray>> {
            val manifest = Manifest(String(read(source, NAME, MAX_BYTES), Charsets.UTF_8))
            val files = manifest.files.mapValues { (name, digest) ->
                read(source, name).also { check(name, it, digest) }
            }
            return Pair(manifest, files)
        }

        fun labels(bytes: ByteArray, classes: Int): List<String> {
            if (bytes.isEmpty() && classes == 0) return emptyList()
            val labels = String(bytes, Charsets.UTF_8).removeSuffix("\n").split('\n')
            if (labels.size != classes) {
                throw ArtifactException("$LABELS has ${labels.size} labels for $classes classes", AGAIN)
            }
            return labels
        }

        /** Whether `name` is that of a file in the folder itself, with the rules of Python's artifacts/names.py. */
        private fun isPlain(name: String): Boolean = name != "." && name != ".." &&
            name.toByteArray().size <= MAX_NAME && !Regex("[A-Za-z]:.*").matches(name) &&
            name.none { it == '/' || it == '\\' || it.isISOControl() }

        private fun read(source: Files, name: String, most: Int = Int.MAX_VALUE): ByteArray = try {
            source.open(name).use { it.readAtMost(most) }
        } catch (error: IOException) {
            throw ArtifactException("$name cannot be read: $error", "Take the folder model/ over as a whole.", error)
        }

        private fun InputStream.readAtMost(most: Int): ByteArray {
            val read = ByteArrayOutputStream()
            val buffer = ByteArray(1 shl 16)
            while (true) {
                val count = read(buffer)
                if (count < 0) return read.toByteArray()
                if (count > most - read.size()) throw damaged("it has more than $most bytes")
                read.write(buffer, 0, count)
            }
        }

        private fun check(name: String, bytes: ByteArray, expected: String) {
            val digest = MessageDigest.getInstance("SHA-256").digest(bytes)
            val found = digest.joinToString("") { "%02x".format(it) }
            if (found != expected) {
                throw ArtifactException(
                    "$name does not match its sidecar: sha256 ${found.take(12)}… instead of ${expected.take(12)}…",
                    "The file was changed after it was made; make it again.",
                )
            }
        }
    }
}
