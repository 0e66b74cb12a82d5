package convnext.edge.sample

import kotlin.math.log10

/** How an answer compares with that of Python, for a person: class or pixels, by the task, and SQNR. */
internal fun compare(found: FloatArray, expected: FloatArray, task: String): String {
    if (found.size != expected.size) return "Python answered with ${expected.size} numbers, not ${found.size}."
    if (found.contentEquals(expected)) return "Identical to Python's answer."
    if (task == "segment") {
        val same = found.indices.count { found[it] == expected[it] }
        return "%.3f %% of the pixels are of Python's class.".format(100.0 * same / found.size)
    }
    val signal = expected.sumOf { it.toDouble() * it }
    val noise = found.indices.sumOf { (found[it].toDouble() - expected[it]).let { d -> d * d } }
    val sqnr = "%.1f dB SQNR".format(10 * log10(signal / noise))
    if (task != "classify") return "$sqnr to Python's answer."
    val same = found.indices.maxBy { found[it] } == expected.indices.maxBy { expected[it] }
    return if (same) "The class is Python's, $sqnr." else "The class is NOT Python's, $sqnr."
}
