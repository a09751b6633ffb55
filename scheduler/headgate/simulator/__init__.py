"""A Mesos that fits in a process: master and agents as a pure model, and the edges that make it real.

The model (`master`, `agent`, `cluster`) takes calls and the time, and gives answers and outputs; it reads no clock,
opens no socket and starts no process, so the same code serves virtual time and real time.  The edges are `server`
(HTTP on loopback) and `processes` (executors and command tasks as real processes).

JSON values of the v1 API travel through the model as they are (`messages.Json`, snake_case, in the form that
`schema` has checked and normalised): the simulator is judged by transcripts, field by field.
"""
