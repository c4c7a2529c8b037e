from contracts.event_log import EventLogContract
from persona_img.serving.memory_log import MemoryLog


class TestMemoryLog(EventLogContract):
    def new_log(self) -> MemoryLog:
        return MemoryLog()
