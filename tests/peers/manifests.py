"""Validates Kubernetes manifests against the schemas of Kubernetes, unknown fields included.

Prints one line of JSON: how many were validated, the kinds that Kubernetes itself does not have, and the problems."""

import json
import sys

import kubernetes_validate
import yaml

# The first release with all that the files use, and the last one that there are schemas of.
VERSIONS = ["1.30", "1.37"]


def problem(manifest, version):
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        place = "/".join(str(part) for part in error.path)
        return f"{manifest['kind']} {manifest['metadata']['name']}, {version}: {place}: {error.message}"
    return None


def main():
    valid, foreign, problems = 0, set(), []
    for file in sys.argv[1:]:
        with open(file, encoding="utf-8") as text:
            manifests = [manifest for manifest in yaml.safe_load_all(text) if manifest is not None]
        for manifest in manifests:
            try:
                found = [problem(manifest, version) for version in VERSIONS]
            except kubernetes_validate.SchemaNotFoundError:
                foreign.add(f"{manifest['apiVersion']} {manifest['kind']}")
                continue
            found = [f"{file}: {text}" for text in found if text]
            problems += found
            valid += not found
    print(json.dumps({"valid": valid, "foreign": sorted(foreign), "problems": problems}))


main()
