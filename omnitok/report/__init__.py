"""From a stored sweep to what goes into a paper: rows, statistics, verdicts, tables, figures, a page. No tensors."""

from omnitok.report.claims import Verdict, answer
from omnitok.report.collect import curves, rows
from omnitok.report.paper import render_paper
from omnitok.report.render import Rendered, render

__all__ = ["Rendered", "Verdict", "answer", "curves", "render", "render_paper", "rows"]
