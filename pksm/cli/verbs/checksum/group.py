"""pksm checksum: its verbs."""

from pksm.cli.commands import Verbs

HELP = "compare checksum strategies by speed, truth, blindness and consequence"
DESCRIPTION = f"""{HELP[0].upper()}{HELP[1:]}.

A strategy may have options behind colons: sampled:words=128:order=sorted:seed=1, sampled-lines:words=64,
partial:bytes=256:at=0, adaptive:words=64.

examples:
  pksm checksum profile ram.img     measure all strategies on an image, and recommend one
  pksm checksum list                which there are, and who uses them
  pksm checksum sum crc32c ram.img  the checksum of each page of a file"""
VERBS = Verbs("pksm.cli.verbs.checksum", "profile", "list", "sum")
