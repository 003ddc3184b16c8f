"""Pages from Jinja2 templates, which lie as files in the package that shows them."""

from __future__ import annotations


def rendered(package: str, template: str, **values: object) -> str:
    """The page that `template`, a file in `package`, makes of these values.

    Values are escaped; a name that the template uses and nobody gives raises an error.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(package, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(values)
