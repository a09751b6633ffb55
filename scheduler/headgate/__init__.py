"""Headgate: a framework scheduler for Apache Mesos that runs streaming jobs.

Layers, imports pointing down: `cli` and `main` (wiring), `adapters` and `engines` (the world), `loop`, `apply`,
`ports`, `core` (pure decisions), `model` (frozen data), `errors`.  Beside them `simulator`, a Mesos that fits in a
process, and `testing`, the public test harness.
"""
