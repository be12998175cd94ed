"""From the files of a stored sweep to data frames, the only input of every table and figure. No tensors."""

from omnitok.results.collect import Mirror as Mirror
from omnitok.results.collect import curves as curves
from omnitok.results.collect import rows as rows
from omnitok.results.gathered import Metric as Metric
from omnitok.results.gathered import Results as Results
from omnitok.results.gathered import gathered as gathered
