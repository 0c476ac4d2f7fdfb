"""RabbitMQ as a transport, by pika's asyncio adapter: publish, consume, control.

Three connections, since an alarm of the broker blocks those that publish; one I/O thread for
all (`io_thread`), each connection kept up by a `Link`. `declare` brings the topology into
being, `properties` and `fields` are what a message looks like in AMQP, `tags` who is waiting
for which confirm.
"""

from dlq.transport.consumer import AmqpConsumer
from dlq.transport.control import AmqpControl
from dlq.transport.declare import Mismatch, QueueDepth
from dlq.transport.publisher import AmqpPublisher

__all__ = ["AmqpConsumer", "AmqpControl", "AmqpPublisher", "Mismatch", "QueueDepth"]
