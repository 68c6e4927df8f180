"""Everything that Eclipse Paho's client can do, against one listener; says what went wrong and ends with 1.

    paho_session.py TRANSPORT VERSION ADDRESS CA CERTIFICATE KEY

TRANSPORT tcp tls ws wss, VERSION 4 or 5, ADDRESS port of 127.0.0.1; a dash for files that are not needed.
"""

import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

WAIT_SECONDS = 20
LARGE_BYTES = 262144
SESSION_SECONDS = 600

transport, version, port, authority, certificate, key = sys.argv[1:7]
version = int(version)


def expect(is_so, what):
    if not is_so:
        raise SystemExit(f"{transport}, version {version}: {what}")


def properties(kind, **values):
    if version != 5:
        return None
    made = Properties(kind)
    for name, value in values.items():
        setattr(made, name, value)
    return made


class Client:
    def __init__(self, client_id, clean=True, will=None):
        self.came = queue.Queue()
        self.connected = queue.Queue()
        self.subscribed = queue.Queue()
        self.left = queue.Queue()
        way = "websockets" if transport in ("ws", "wss") else "tcp"
        settings = {"clean_session": clean} if version != 5 else {}
        self.mqtt = mqtt.Client(client_id=client_id, protocol=version, transport=way, **settings)
        if way == "websockets":
            self.mqtt.ws_set_options(path="/mqtt")
        if transport in ("tls", "wss"):
            chain = {} if certificate == "-" else {"certfile": certificate, "keyfile": key}
            self.mqtt.tls_set(ca_certs=authority, **chain)
        if will is not None:
            self.mqtt.will_set(will[0], will[1], qos=1)
        self.mqtt.on_message = lambda _client, _data, message: self.came.put(message)
        self.mqtt.on_connect = lambda _client, _data, flags, *_: self.connected.put(flags)
        self.mqtt.on_subscribe = lambda *_: self.subscribed.put(True)
        self.mqtt.on_disconnect = lambda *_: self.left.put(True)
        more = {}
        if version == 5:
            more["clean_start"] = clean
            kept = 0 if clean else SESSION_SECONDS
            more["properties"] = properties(PacketTypes.CONNECT, SessionExpiryInterval=kept)
        self.mqtt.connect("localhost", int(port), **more)
        self.mqtt.loop_start()
        self.present = self.connected.get(timeout=WAIT_SECONDS)["session present"]

    def subscribe(self, topic, qos):
        self.mqtt.subscribe(topic, qos)
        self.subscribed.get(timeout=WAIT_SECONDS)

    def publish(self, topic, payload, qos, **more):
        info = self.mqtt.publish(topic, payload, qos=qos, **more)
        info.wait_for_publish(WAIT_SECONDS)
        expect(info.is_published(), f"no acknowledgement of {topic}")

    def next(self):
        return self.came.get(timeout=WAIT_SECONDS)

    def leave(self):
        self.mqtt.disconnect()
        self.left.get(timeout=WAIT_SECONDS)
        self.mqtt.loop_stop()

    def drop(self):
        """Without a DISCONNECT, and without coming back."""
        self.mqtt.loop_stop()
        self.mqtt._sock_close()


def both_ways(sender, name):
    receiver = Client(f"{name}-r")
    for granted in (0, 1, 2):
        receiver.subscribe(f"{name}/q/{granted}", granted)
    for granted in (0, 1, 2):
        for qos in (0, 1, 2):
            sender.publish(f"{name}/q/{granted}", f"at {qos}", qos)
            message = receiver.next()
            expect(message.payload == b"at %d" % qos and message.qos == min(granted, qos), "another message")
    large = b"weir" * (LARGE_BYTES // 4)
    sender.publish(f"{name}/q/2", large, 2)
    expect(receiver.next().payload == large, "a large message")
    receiver.leave()


def retained_and_will(sender, name):
    sender.publish(f"{name}/state", "on", 1, retain=True)
    late = Client(f"{name}-l")
    late.subscribe(f"{name}/#", 1)
    message = late.next()
    expect(message.payload == b"on" and message.retain, "no retained message")
    Client(f"{name}-d", will=(f"{name}/lost", "gone")).drop()
    expect(late.next().payload == b"gone", "no will")
    sender.publish(f"{name}/state", None, 1, retain=True)
    late.leave()


def persistent(sender, name):
    first = Client(f"{name}-p", clean=False)
    expect(not first.present, "a session before the first")
    first.subscribe(f"{name}/log", 1)
    first.leave()
    sent = [f"m{index}" for index in range(20)]
    for text in sent:
        sender.mqtt.publish(f"{name}/log", text, qos=1)
    sender.publish(f"{name}/end", "", 1)
    second = Client(f"{name}-p", clean=False)
    expect(second.present, "the session is gone")
    came = [second.next().payload.decode() for _ in sent]
    expect(came == sent, f"{came} after the reconnection")
    second.leave()
    Client(f"{name}-p").leave()


def shared(sender, name):
    members = [Client(f"{name}-s{index}") for index in range(2)]
    for member in members:
        member.subscribe(f"$share/crew/{name}/work", 1)
    jobs = [f"job {index}" for index in range(10)]
    for job in jobs:
        sender.publish(f"{name}/work", job, 1)
    taken = [member.next().payload.decode() for member in members for _ in range(len(jobs) // 2)]
    expect(sorted(taken) == sorted(jobs), f"{taken} were taken")
    for member in members:
        member.leave()


def request_and_response(sender, name):
    service = Client(f"{name}-a")
    service.subscribe(f"{name}/ask", 1)
    sender.subscribe(f"{name}/answer", 1)
    asked = properties(PacketTypes.PUBLISH, ResponseTopic=f"{name}/answer", CorrelationData=b"\x00\xff")
    sender.publish(f"{name}/ask", "how?", 1, properties=asked)
    request = service.next().properties
    answer = properties(PacketTypes.PUBLISH, CorrelationData=request.CorrelationData)
    service.publish(request.ResponseTopic, "so!", 1, properties=answer)
    response = sender.next()
    expect(response.payload == b"so!" and response.properties.CorrelationData == b"\x00\xff", "another answer")
    service.leave()


def main():
    name = f"{transport}{version}"
    sender = Client(f"{name}-w")
    both_ways(sender, name)
    retained_and_will(sender, name)
    persistent(sender, name)
    shared(sender, name)
    if version == 5:
        request_and_response(sender, name)
    sender.leave()


main()
