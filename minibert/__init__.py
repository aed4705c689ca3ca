"""minibert: BERT, small enough to read and exact enough to hold real weights."""

from minibert.config import BertConfig
from minibert.hub import from_pretrained, save_pretrained
from minibert.model import BertForPreTraining, BertModel

__all__ = ["BertConfig", "BertForPreTraining", "BertModel", "from_pretrained", "save_pretrained"]
