"""Errors of the sandbox. Two roots: the sandbox failed, or a call asked wrongly.

SandboxError                the run can't go on as it is (CLI exit code 3)
├── EngineUnavailable       no engine answers
├── EngineError             the engine refused or failed a request
│   ├── EngineDiskFull      no space is left where it keeps things
│   └── VolumeRefused       it does not make or mount a volume as asked
├── ImageUnusable           no such image, or one without python3
├── SetupFailed             a policy's set-up does not come to its end
├── ServiceFailed           a policy's service does not become ready
├── KernelUnsupported       no Landlock, where the operator did not say that is fine
├── SealBroken              the running container is not what the spec says
├── WorkspaceError          the workspace can't be copied as it is
│   └── WorkspaceChanged    it is not what it was when it was looked at
├── SandboxLost             the container or its guest is gone
│   └── ContainerGone       the engine has no such container: nothing is left to export
└── PatchError              the patch can't be made, proved or applied
    └── CollisionError      two different files have one SHA-1 id

FileError                   a file operation was refused: a result the model sees
├── FileMissing
├── FileExists
├── FileDenied              by the kernel, under the policy
├── FileWrongType           a directory where a file is wanted, or the reverse
└── NotKept                 the state to go back to was not kept
"""


class SandboxError(Exception):
    """The sandbox failed. The message says what happened and what to do."""


class EngineUnavailable(SandboxError):
    """No container engine answers."""


class EngineError(SandboxError):
    """The engine refused or failed a request."""


class EngineDiskFull(EngineError):
    """No space is left where the engine keeps things."""


class VolumeRefused(EngineError):
    """The engine does not make or mount a volume as asked."""


class ImageUnusable(SandboxError):
    """The image is missing or can't hold a guest."""

    @classmethod
    def missing(cls, name: str) -> "ImageUnusable":
        return cls(f"there is no image {name}: get it with `moonpool image build {name}`")


class SetupFailed(SandboxError):
    """A policy's set-up does not come to its end, or leaves what must not be kept."""


class ServiceFailed(SandboxError):
    """A policy's service does not become ready."""


class KernelUnsupported(SandboxError):
    """The kernel can't enforce the policy."""


class SealBroken(SandboxError):
    """What runs differs from what was asked for."""


class WorkspaceError(SandboxError):
    """The workspace can't be copied as it is."""


class WorkspaceChanged(WorkspaceError):
    """The workspace is not what it was when it was looked at: looking again may help."""


class SandboxLost(SandboxError):
    """The container or its guest is gone; its files may still be exported."""


class ContainerGone(SandboxLost):
    """The engine has no such container any more."""


class PatchError(SandboxError):
    """The patch can't be made, proved or applied."""


class CollisionError(PatchError):
    """Two different files have one SHA-1 id: git can't tell them apart."""


class FileError(Exception):
    """A file operation was refused; the message is for the model."""

    refused: tuple[str, ...] = ()
    """Programs that the kernel refused to start, by path."""


class FileMissing(FileError):
    """No such file."""


class FileExists(FileError):
    """There is one already."""


class FileDenied(FileError):
    """The kernel refused it under the policy."""


class FileWrongType(FileError):
    """A directory where a file is wanted, or the reverse."""


class NotKept(FileError):
    """The state to go back to was not kept; nothing was touched."""
