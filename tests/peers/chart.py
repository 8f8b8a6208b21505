"""Renders and lints a Helm chart with values in JSON, by Helm's own library.

Prints one line of JSON: what it comes to, or why Helm refuses the values."""

import json
import sys

import helm_python as helm


def main():
    directory, values = sys.argv[1], json.loads(sys.argv[2])
    with helm.Chart.load(directory) as chart:
        try:
            rendered = chart.render(values, name="edge", namespace="sidegate")
        except helm.HelmError as error:
            print(json.dumps({"error": str(error)}))
            return
    findings = [message for message in helm.lint(directory, values)["messages"] if message["severity"] > 1]
    print(json.dumps({"manifests": "\n---\n".join(rendered.values()), "findings": findings}))


main()
