"""How datasets lie on disk. One class a layout; one line here makes it nameable, listed and tested."""

from omnitok.data.layouts.contract import Layout as Layout
from omnitok.data.layouts.contract import Listed as Listed
from omnitok.data.layouts.contract import Listing as Listing
from omnitok.data.layouts.contract import Tree as Tree
from omnitok.data.layouts.faces import FFHQ, CelebAHQ
from omnitok.data.layouts.huggingface import HuggingFace
from omnitok.data.layouts.imagenet import ImageNet
from omnitok.data.layouts.kinetics import Kinetics
from omnitok.data.layouts.moments import MomentsInTime
from omnitok.data.layouts.plain import Plain
from omnitok.data.layouts.something import SomethingSomething
from omnitok.data.layouts.ucf101 import UCF101
from omnitok.data.layouts.webdataset import WebDataset
from omnitok.spec import Registry

LAYOUTS: Registry[Layout] = Registry(
    "layout",
    group="omnitok.layouts",
    contract=Layout,
    plain=Plain,
    imagenet=ImageNet,
    celeba_hq=CelebAHQ,
    ffhq=FFHQ,
    ucf101=UCF101,
    kinetics=Kinetics,
    moments_in_time=MomentsInTime,
    something_something_v2=SomethingSomething,
    webdataset=WebDataset,
    huggingface=HuggingFace,
)
