"""HTML and SVG as a tree, which escapes every text that is put into it."""

from __future__ import annotations

from xml.etree import ElementTree

Element = ElementTree.Element
Content = Element | str


def element(tag: str, *content: Content, **attributes: object) -> Element:
    """Make an element with its content and attributes.

    In the names of attributes, `class_` stands for class, and `text_anchor` for text-anchor.
    """
    names = {key.rstrip("_").replace("_", "-"): str(value) for key, value in attributes.items()}
    node = Element(tag, names)
    last: Element | None = None
    for part in content:
        if isinstance(part, Element):
            node.append(part)
            last = part
        elif last is None:
            node.text = (node.text or "") + part
        else:
            last.tail = (last.tail or "") + part
    return node


def document(root: Element) -> str:
    """Return the text of an HTML file."""
    return f"<!doctype html>\n{ElementTree.tostring(root, encoding='unicode', method='html')}\n"
