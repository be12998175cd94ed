"""What of a plan a site would never run."""

from pathlib import Path

from omnitok.cluster import site
from omnitok.cluster.site import Site
from omnitok.spec import Fault, Mark, SpecError
from omnitok.sweep.plan import Plan, used
from omnitok.sweep.resources import given, said_at


def refuse_unfit(plan: Plan, root: Path) -> None:
    """Raises SpecError where, by the profile that is kept in ``root``, a job of the plan would never run."""
    known = site.read(root)
    if known and (wrong := unfit(plan, known)):
        said = f"(examined {known.examined}; if the site has changed: omnitok doctor --cluster slurm)"
        raise SpecError([fault._replace(sentence=f"{fault.sentence} {said}") for fault in wrong])


def unfit(plan: Plan, known: Site) -> list[Fault]:
    """Each where the sweep says the resource, if it does. Of stages that are done and of suggestions too, so that
    a plan says the same before the first job and after the last."""
    resources, said = plan.asked.file.resources, plan.asked.said.get("resources")
    found = []
    searched = [one for search in plan.searches for one in search.used()]
    for one in [*used(plan.trials, plan.runs).values(), *searched]:
        for sentence in site.unfit(known, {**resources.job, **given(resources, one)}):
            option = sentence.partition("=")[0].partition(" ")[0]
            where = said_at(said, one, (option,)) if said else None
            found.append(Fault(*(where or (Mark("--cluster slurm"), "resources")), sentence))
    return found
