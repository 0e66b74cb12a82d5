package convnext.edge

import java.io.File
import java.io.IOException
import kotlin.math.floor
import kotlin.math.min
import kotlin.math.roundToLong

private const val WARM_UP = 3

// Those of the CPU's instructions that decide how INT8 runs.
private val INSTRUCTIONS = listOf(
    "sse4_1", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "neon", "asimd", "asimddp", "i8mm", "sve",
)

/**
 * Times loading, the first answer, single calls of the engine, and whole answers from `image`, and returns the JSON
 * object that `convnext-edge benchmark --json` prints: reference_ms and what follows from it are null, as the reference
 * is not here; `load_ms`, `first_answer_ms` and `end_to_end_ms` come with it.
 *
 * threads: of a call, 0 for all cores. runs: timed calls. Throws what `Model` throws.
 */
fun bench(files: Files, image: Image, threads: Int = 0, runs: Int = 50): String {
    if (runs < 1) throw UsageException("runs $runs is less than 1", "Give a whole number from 1.")
    val used = if (threads > 0) threads else usableCpus()
    val (model, loadMs) = timed { Model(files, used) }
    return model.use {
        val firstMs = timed { it.answer(image) }.second
        val pixels = it.prepare(image)
        val engine = timeCalls(runs) { it.infer(pixels) }
        val whole = timeCalls(runs) { it.answer(image) }
        val fields = linkedMapOf(
            "artifact" to quoted("model/${it.info.engine}"),
            "target" to quoted(it.info.runtime),
            "runtime_version" to quoted(it.info.runtimeVersion),
            "batch" to "1",
            "threads" to "$used",
            "runs" to "$runs",
            "cpu" to quoted(lineOf("/proc/cpuinfo", "model name", "Hardware", "CPU part")),
            "isa" to instructions(),
            "candidate_ms" to percentiles(engine),
            "reference_ms" to "null",
            "speedup" to "null",
            "speedup_ci95" to "null",
            "reliable" to "${doubt(engine).isEmpty()}",
            "doubt" to quoted(doubt(engine)),
            "throughput_ips" to number(1000 / percentile(engine, 50)),
            "peak_rss_bytes" to peakRss(),
            "gates" to "[]",
            "passed" to "true",
            "fp16_ms" to "null",
            "device" to "null",
            "advice" to "null",
            "hint" to quoted("latency"),
            "candidate_histogram" to "null",
            "reference_histogram" to "null",
            "throughput" to "null",
            "layers" to "[]",
            "sweep" to "[]",
            "load_ms" to number(loadMs),
            "first_answer_ms" to number(firstMs),
            "end_to_end_ms" to percentiles(whole),
        )
        fields.entries.joinToString(",\n", "{\n", "\n}") { (key, value) -> "  \"$key\": $value" }
    }
}

/** The whole answer, whatever the task. */
private fun Model.answer(image: Image): Any = when (info.task) {
    "classify" -> classify(image)
    "multilabel" -> multilabel(image)
    "segment" -> segment(image)
    "detect" -> detect(image)
    else -> run(image)
}

/** Why times are not to be relied on; empty where they are, as on a quiet machine. */
private fun doubt(times: List<Double>): String {
    val ratio = percentile(times, 50) / percentile(times, 0)
    return if (ratio > 2) "a median is ${number(ratio)} times the least time" else ""
}

/** What `call` returns, and the milliseconds that it took. */
private fun <T> timed(call: () -> T): Pair<T, Double> {
    val started = System.nanoTime()
    return Pair(call(), (System.nanoTime() - started) / 1e6)
}

/** Milliseconds of each call, in order of size. */
private fun timeCalls(runs: Int, call: () -> Any): List<Double> {
    repeat(WARM_UP) { call() }
    return List(runs) { timed(call).second }.sorted()
}

/** Linear between the neighbours, as NumPy does it. */
private fun percentile(sorted: List<Double>, percent: Int): Double {
    val position = percent / 100.0 * (sorted.size - 1)
    val below = floor(position).toInt()
    val above = min(below + 1, sorted.size - 1)
    return sorted[below] + (position - below) * (sorted[above] - sorted[below])
}

private fun number(value: Double): String = ((value * 1e4).roundToLong() / 1e4).toString()

private fun percentiles(times: List<Double>): String {
    val named = listOf(50, 90, 99).map { "\"p$it\": ${number(percentile(times, it))}" }
    return (named + "\"min\": ${number(times.first())}").joinToString(", ", "{", "}")
}

private fun quoted(text: String): String =
    "\"" + text.filter { it >= ' ' }.replace("\\", "\\\\").replace("\"", "\\\"") + "\""

/** What follows the colon of the first line that begins with one of `keys`; empty without one. */
private fun lineOf(path: String, vararg keys: String): String = try {
    val line = File(path).useLines { lines -> lines.find { line -> keys.any(line::startsWith) } }
    line?.substringAfter(':')?.trim().orEmpty()
} catch (_: IOException) {
    "" // not every system lets an application read it
}

private fun instructions(): String {
    val flags = lineOf("/proc/cpuinfo", "flags", "Features").split(' ')
    return INSTRUCTIONS.filter { it in flags }.joinToString(", ", "[", "]", transform = ::quoted)
}

private fun peakRss(): String =
    lineOf("/proc/self/status", "VmHWM").substringBefore(' ').toLongOrNull()?.let { "${1024 * it}" } ?: "null"
