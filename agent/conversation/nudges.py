"""What the model is told beside the results of its calls, word for word, and in place of them."""

ASK_FOR_ANSWER = (
    "Your answer was empty. Go on with the task, or say in a few sentences what you did."
)
ASK_TO_GO_ON = "Your answer was cut off at the limit of its length. Go on where it stopped."
ASK_AFTER_PAUSE = "Go on."
TORN = (
    "Nothing ran: your answer was cut off at the limit of its length. Make the call again with "
    "less in it: write a large file in pieces, or explain less before the call."
)
UNRUN = "Nothing ran: the answer did not end with a request for tools."
NOT_TAKEN = (
    "The images above were taken out: the service did not take them. They may be broken, or no "
    "images at all; look at the files with other tools."
)
STOPPED = "The person stopped the request before this one while you were at work on it."
BROKEN_OFF = (
    "Not known: the person stopped it while it ran. It may have been done wholly, in part or not "
    "at all."
)
DECLINED = (
    "What the request before this one was, and what was done for it, is no longer part of this "
    "conversation: look at the files before you rely on what you remember of them."
)
CALL_AS_TEXT = (
    "Nothing ran: you wrote {what} as text. Make it as a tool call, in the form that "
    "this service has for them. If you only meant to show it, say what you did, without it."
)
CALL_IN_OTHER_FORM = (
    "Nothing ran: your last answer, which is not shown here, had {what} in a form that is not "
    "read as a call. From here on a call is text of one form.\n{form}\nIf you only meant to show "
    "it, say what you did, without it."
)
UNCLEAR_CALL = (
    "Nothing ran: the call of your last answer, which is not shown here, can't be read, because "
    "{why}.\n{form}"
)
NO_CALLS = "You stopped for a tool call but made none. Make the call, or say what you did."
IN_DOUBT = (
    "Not known: the program that runs this session ended while this ran. It may have been done "
    "wholly, in part or not at all: look before you repeat it."
)
NOT_REACHED = (
    "Not run: the program that runs this session ended before it came to this call. Make it again "
    "if you still want it."
)
STARTED_AGAIN = (
    "The program that runs this session ended and was started again, and the sandbox's command "
    "server with it: the workspace is as it was; files in /tmp may be gone, the working directory "
    "and exported variables are reset, and background processes are ended."
)
NOT_MADE = "Not run: the person stopped the work before this call."
NOT_RUN = "Not run: the run ended."
