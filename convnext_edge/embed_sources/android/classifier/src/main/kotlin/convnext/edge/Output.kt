package convnext.edge

import kotlin.math.sqrt

/**
 * One output of the model for an image.
 *
 * name: "logits", "values", "embedding", "map", or "map0" for that of stage 0. shape: (numbers) of a vector, (channels,
 * rows, columns) of a map. values: the last axis fastest.
 */
class Output(val name: String, val shape: List<Int>, val values: FloatArray)

/**
 * Cosine of the angle between two embeddings of a model: 1 where they point in the same direction, -1 where in opposite
 * ones. Throws UsageException for vectors of different lengths, or one that is zero.
 */
fun cosine(a: FloatArray, b: FloatArray): Double {
    if (a.size != b.size) {
        val what = "embeddings of ${a.size} and ${b.size} numbers are not of one model"
        throw UsageException(what, "Compare those of the same model.")
    }
    val lengths = sqrt(product(a, a) * product(b, b))
    if (!(lengths > 0)) throw UsageException("an embedding of zeros has no direction", "Give what embed() returned.")
    return product(a, b) / lengths
}

private fun product(a: FloatArray, b: FloatArray): Double = a.indices.sumOf { a[it].toDouble() * b[it] }
