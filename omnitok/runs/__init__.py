"""What a run leaves: one folder named by its digest, whose files are the whole state. Knows no tensors and no trackers.

``runs/<digest>/`` holds ``experiment.json`` (every choice), ``provenance.json``, ``records.jsonl`` (a line a step),
``attempts.jsonl`` (a line a start), ``checkpoint.pt``, ``weights.safetensors`` (and ``weights.ema.safetensors``,
``adversary.safetensors`` where there are such), ``evaluations/``, ``samples/``,
``result.json`` (written last: its existence is "done") and ``error.txt`` (class and traceback, if it died).
``attempts/`` is there while somebody works in the folder: the one folder in it is the lease, and what its holder writes
comes out of it by a rename (``leases``).
"""

from omnitok.runs.failures import KINDS as KINDS
from omnitok.runs.failures import Failure as Failure
from omnitok.runs.failures import evaluation_error as evaluation_error
from omnitok.runs.failures import fail as fail
from omnitok.runs.failures import fail_held as fail_held
from omnitok.runs.failures import failure as failure
from omnitok.runs.holding import Busy as Busy
from omnitok.runs.holding import Fenced as Fenced
from omnitok.runs.holding import Held as Held
from omnitok.runs.leases import STALE_S as STALE_S
from omnitok.runs.leases import lease as lease
from omnitok.runs.leases import leased as leased
from omnitok.runs.leases import of_lease as of_lease
from omnitok.runs.names import ADVERSARY as ADVERSARY
from omnitok.runs.names import ATTEMPTS as ATTEMPTS
from omnitok.runs.names import AVERAGED as AVERAGED
from omnitok.runs.names import CHECKPOINT as CHECKPOINT
from omnitok.runs.names import ERROR as ERROR
from omnitok.runs.names import EVALUATIONS as EVALUATIONS
from omnitok.runs.names import EXPERIMENT as EXPERIMENT
from omnitok.runs.names import PROVENANCE as PROVENANCE
from omnitok.runs.names import RECORDS as RECORDS
from omnitok.runs.names import RESULT as RESULT
from omnitok.runs.names import SAMPLES as SAMPLES
from omnitok.runs.names import WEIGHTS as WEIGHTS
from omnitok.runs.recorded import Record as Record
from omnitok.runs.recorded import before as before
from omnitok.runs.recorded import decode as decode
from omnitok.runs.recorded import encode as encode
from omnitok.runs.recorded import last_record as last_record
from omnitok.runs.recorded import records as records
from omnitok.runs.standing import Status as Status
from omnitok.runs.standing import attempts as attempts
from omnitok.runs.standing import deviations as deviations
from omnitok.runs.standing import last_attempt as last_attempt
from omnitok.runs.standing import root as root
from omnitok.runs.standing import seconds as seconds
from omnitok.runs.standing import status as status
from omnitok.runs.writing import append_line as append_line
from omnitok.runs.writing import read_json as read_json
from omnitok.runs.writing import write as write
from omnitok.runs.writing import write_json as write_json
