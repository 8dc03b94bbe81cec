"""opendal's service azblob."""

import os
import uuid

import opendal
from azure.storage.blob import BlobServiceClient

box = "opendal-" + uuid.uuid4().hex[:8]
BlobServiceClient.from_connection_string(os.environ["JUDGE_CONNECTION_STRING"]).create_container(box)
common = {"account_name": os.environ["JUDGE_ACCOUNT"], "account_key": os.environ["JUDGE_KEY"], "endpoint": os.environ["JUDGE_ENDPOINT"]}
store = opendal.Operator("azblob", container=box, root="/root", **common)
can = store.capability()
store.create_dir("dir/")
store.write("dir/a b", b"alpha")
assert store.read("dir/a b") == b"alpha"
assert store.stat("dir/a b").content_length == 5 and store.stat("dir/").mode.is_dir()
with store.open("dir/large", "wb") as file:
    for _ in range(3):
        file.write(b"x" * (1 << 20))
assert store.stat("dir/large").content_length == 3 << 20
with store.open("dir/a b", "rb") as file:
    file.seek(2)
    assert file.read() == b"pha"
assert sorted(entry.path for entry in store.list("dir/") if entry.path != "dir/") == ["dir/a b", "dir/large"]
if can.copy:
    store.copy("dir/a b", "dir/copy")
    assert store.read("dir/copy") == b"alpha"
if can.rename:
    store.rename("dir/a b", "dir/renamed")
    assert store.read("dir/renamed") == b"alpha" and not store.exists("dir/a b")
if can.write_can_append:
    store.write("log", b"one", append=True)
    store.write("log", b"two", append=True)
    assert store.read("log") == b"onetwo"
store.delete("dir/large")
assert not store.exists("dir/large")
store.remove_all("dir/")
assert not [entry for entry in store.scan("dir/")]
