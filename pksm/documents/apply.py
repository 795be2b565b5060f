"""The document of settings of the kernel's KSM that were applied, or put back: pksm.apply/1."""

from typing import Annotated, Literal, TypedDict


class AppliedSetting(TypedDict):
    """A setting that is changed."""

    name: Annotated[str, "", "of the file, or its path if it is not KSM's"]
    path: Annotated[str, "", "of the file"]
    before: Annotated[str, "", "what was there"]
    value: Annotated[str, "", "what is there now, or would be"]
    reason: Annotated[str, "", "why, as the advice has it; empty where settings are put back"]
    done: Annotated[bool, "", "false: it was a dry run, or refused"]
    why_not: Annotated[str, "", "why it was refused; empty if it was not"]


class ApplyDocument(TypedDict):
    """What `pksm apply` and `pksm restore --applied` did, or would do."""

    schema: Literal["pksm.apply/1"]
    action: Annotated[Literal["apply", "restore"], "", "the verb"]
    dry_run: Annotated[bool, "", "nothing was done"]
    settings: list[AppliedSetting]
    record: Annotated[str, "", "path of the file that keeps what was there before"]
    partial: Annotated[bool, "", "whether a setting was refused, or this kernel does not have it"]
    warnings: Annotated[list[str], "", "one line each"]
