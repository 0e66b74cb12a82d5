package convnext.edge.sample

import convnext.edge.Image
import convnext.edge.Model
import convnext.edge.Output
import convnext.edge.Prediction
import convnext.edge.over

private const val TOP = 5

/**
 * What a model answers to an image.
 *
 * text: for a person. numbers: what is compared with Python's answer, the vector or the last map; of a segmenter the
 * class of each pixel. overlay: of a segmenter, what it sees below the colours of the classes; of a detector, below masks
 * and boxes.
 */
internal class Answer(val text: String, val numbers: FloatArray, val overlay: Image? = null)

internal fun answerOf(model: Model, image: Image): Answer {
    if (model.info.task == "segment") return segments(model, image)
    if (model.info.task == "detect") return objects(model, image)
    val outputs = model.run(image)
    val compared = outputs.first().takeIf { it.shape.size == 1 } ?: outputs.last()
    return Answer(textOf(model, image), compared.values)
}

private fun segments(model: Model, image: Image): Answer {
    val pixels = model.prepare(image)
    val map = model.labelMap(model.infer(pixels))
    val text = map.shares().joinToString("\n") { "%.1f %%  %s".format(100 * it.share, model.labels[it.index]) }
    return Answer(text, FloatArray(map.classes.size) { map.classes[it].toFloat() }, map.over(pixels))
}

/** The numbers are the boxes, in what the model sees. */
private fun objects(model: Model, image: Image): Answer {
    val pixels = model.prepare(image)
    val outputs = model.compute(pixels)
    val found = model.objects(outputs)
    val text = found.joinToString("\n") { "%.1f %%  %s".format(100 * it.score, it.label) }
    return Answer(text.ifEmpty { "No objects." }, outputs.first().values, over(pixels, model.info.width, found))
}

private fun textOf(model: Model, image: Image): String = when (model.info.task) {
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
