"""`headgate explain` and `headgate agents`: why things are as they are, per job and per agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headgate.commands.options import api_options, json_option, print_json

if TYPE_CHECKING:
    from headgate.adapters.api_client import ApiClient


@click.command("explain")
@click.argument("name")
@click.option("--agent", is_flag=True, help="NAME is an agent: what became of its last offers, what waiting jobs lack.")
@click.option("--history", is_flag=True, help="All that is kept of what happened, not only the newest.")
@api_options
@json_option
def explain_command(name: str, agent: bool, history: bool, as_json: bool, client: ApiClient) -> None:
    """Say why a job is as it is, and what it waits for.

    For a job that waits: how many of the known agents are left after each check, which comes nearest, and what would
    make it fit.
    """
    if agent and history:
        raise click.UsageError("an agent has no history: leave out --history, or --agent")
    found = client.explain_agent(name) if agent else client.explain(name)
    if as_json:
        print_json(found)
        return
    from headgate.adapters.api_types import Explanation
    from headgate.adapters.terminal import console
    from headgate.adapters.terminal_why import agent_explained, explained

    if isinstance(found, Explanation):
        console().print(explained(found, history=None if history else 12))
    else:
        console().print(agent_explained(found, at=client.view().at))


@click.command("agents")
@api_options
@json_option
def agents_command(as_json: bool, client: ApiClient) -> None:
    """Show the agents that were offered, and what became of their last offers."""
    agents = client.agents()
    if as_json:
        print_json(agents)
        return
    if not agents:
        click.echo("no agent has been offered yet; while no job wants any, none needs to be")
        return
    from headgate.adapters.terminal import console
    from headgate.adapters.terminal_why import agents_table

    console().print(agents_table(agents, at=client.view().at))
