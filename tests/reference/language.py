"""Writes what the reference's schema says of each component, as the linter reads it.

    python tests/reference/language.py > runtime/src/source/lint/language.yaml

Facts only: names, kinds of values, what is required. `@Name` is a component, `[]` a list of,
`{}` a mapping, `=a|b` one of these words; a field without a kind takes anything.
"""

import sys
from importlib import resources

import yaml


def main() -> None:
    path = resources.files("airbyte_cdk.sources.declarative") / "declarative_component_schema.yaml"
    schema = yaml.safe_load(path.read_text())
    components = {"DeclarativeSource": component(schema, schema)}
    for name, definition in schema["definitions"].items():
        if "properties" in definition and name != "Schemas":
            components[name] = component(definition, schema)
    yaml.safe_dump(components, sys.stdout, sort_keys=True, width=120, default_flow_style=None)


def component(definition: dict, schema: dict) -> dict:
    """The required fields, the kinds of each field, and whether others are taken too."""
    fields = {
        name: sorted(set(kinds(field, schema)))
        for name, field in definition["properties"].items()
        if name not in ("type", "$parameters")
    }
    said = {"fields": fields}
    required = [name for name in definition.get("required", []) if name in fields]
    if required:
        said["required"] = required
    if definition.get("additionalProperties") is True:
        said["open"] = True
    return said


def kinds(field: dict, schema: dict) -> list:
    if "$ref" in field:
        return referenced(field["$ref"].rsplit("/", 1)[1], schema)
    for key in ("anyOf", "oneOf"):
        if key in field:
            return [kind for option in field[key] for kind in kinds(option, schema)]
    if "enum" in field:
        return ["=" + "|".join(str(word) for word in field["enum"])]
    types = field.get("type", [])
    return [kind for name in ([types] if isinstance(types, str) else types) for kind in of_type(name, field, schema)]


def of_type(name: str, field: dict, schema: dict) -> list:
    if name == "array":
        items = field.get("items", {})
        return ["[]" + kind for kind in kinds(items, schema) or [""]] if isinstance(items, dict) else ["[]"]
    if name == "object":
        values = field.get("additionalProperties")
        return ["{}" + kind for kind in kinds(values, schema) or [""]] if isinstance(values, dict) else ["{}"]
    return [name]


def referenced(name: str, schema: dict) -> list:
    definition = schema["definitions"][name]
    return ["@" + name] if "properties" in definition and name != "Schemas" else kinds(definition, schema)


if __name__ == "__main__":
    main()
