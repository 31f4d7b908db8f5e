"""A request that an API refuses."""


class FaultError(Exception):
    """A request that the API would refuse."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
