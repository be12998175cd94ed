"""A page, Markdown, LaTeX, data and figures of one sweep, or of those that a report file names. No tensors."""

from omnitok.report.command import render as render
from omnitok.report.command import render_paper as render_paper
from omnitok.report.render import Rendered as Rendered
