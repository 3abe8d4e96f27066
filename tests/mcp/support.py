"""What the tests have in common."""


class Sandbox:
    """The tools, as functions."""

    def __init__(self, client):
        self.client = client

    async def call(self, tool, **arguments):
        """The result, whatever it is. The client checks it against the tool's output schema."""
        return await self.client.call_tool(tool, arguments)

    async def do(self, tool, **arguments):
        """The structured content of a call that succeeds."""
        result = await self.call(tool, **arguments)
        assert not result.is_error, text(result)
        assert text(result), "there is text for readers, too"
        return result.structured_content

    async def fail(self, tool, **arguments):
        """What a call says that fails."""
        result = await self.call(tool, **arguments)
        assert result.is_error, result
        return text(result)

    async def stdout(self, command, **arguments):
        """The output of a command that succeeds."""
        result = await self.do("run_command", command=command, **{"timeout_ms": 120_000, **arguments})
        assert result["exit_code"] == 0, result
        return result["stdout"]


def text(result):
    """The content of a result for readers."""
    return "".join(block.text for block in result.content)
