package convnext.edge.sample

import convnext.edge.Image
import convnext.edge.Model
import convnext.edge.Output
import convnext.edge.Prediction

private const val TOP = 5

/** What a model answers to an image, for a person. */
internal fun answerOf(model: Model, image: Image): String = when (model.info.task) {
    "classify" -> lines(model.classify(image, TOP))
    "multilabel" -> lines(model.multilabel(image).sortedByDescending { it.probability }.take(TOP))
    "regress" -> model.regress(image).zip(model.labels) { value, label -> "$value  $label" }.joinToString("\n")
    else -> model.run(image).joinToString("\n", transform = ::line)
}

private fun lines(found: List<Prediction>): String =
    found.joinToString("\n") { "%.1f %%  %s".format(100 * it.probability, it.label) }

/** Name and shape, and the first numbers of a vector. */
private fun line(output: Output): String {
    val named = "${output.name} ${output.shape.joinToString("x")}"
    return if (output.shape.size > 1) named else "$named: ${output.values.take(TOP).joinToString(" ")} ..."
}
