"""Words of templates that a tree may not have: another replica learned them since, or the tree is an older one."""

from collections.abc import Callable

from models.errors import TemplateError

TextOf = Callable[[int], str]

NO_TEMPLATE = "(no such template)"


def or_else(of: TextOf, other: str = NO_TEMPLATE) -> TextOf:
    """``of`` a template, or ``other`` where the tree has none such."""

    def text(template_id: int) -> str:
        try:
            return of(template_id)
        except TemplateError:
            return other

    return text
