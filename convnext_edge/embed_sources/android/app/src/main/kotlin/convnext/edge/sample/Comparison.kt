package convnext.edge.sample

import kotlin.math.log10

/** How `logits` compare with those of Python, for a person: the class, and SQNR in decibels. */
internal fun compare(logits: FloatArray, expected: FloatArray): String {
    if (logits.size != expected.size) return "Python answered with ${expected.size} logits, not ${logits.size}."
    if (logits.contentEquals(expected)) return "Identical to Python's answer."
    val signal = expected.sumOf { it.toDouble() * it }
    val noise = logits.indices.sumOf { (logits[it].toDouble() - expected[it]).let { d -> d * d } }
    val sqnr = "%.1f dB SQNR".format(10 * log10(signal / noise))
    val same = logits.indices.maxBy { logits[it] } == expected.indices.maxBy { expected[it] }
    return if (same) "The class is Python's, $sqnr." else "The class is NOT Python's, $sqnr."
}
