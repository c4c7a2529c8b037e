from contracts.event_log import EventLogContract
from persona_img.serving.memory_log import MemoryEventLog


class TestMemoryEventLog(EventLogContract):
    def new_log(self) -> MemoryEventLog:
        return MemoryEventLog()
