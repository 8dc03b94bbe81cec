"""obstore: the Rust crate object_store, which deltalake, polars and Lance read Azure with."""

import os
import uuid

import obstore
from azure.storage.blob import BlobServiceClient
from obstore.store import AzureStore

box = "obstore-" + uuid.uuid4().hex[:8]
BlobServiceClient.from_connection_string(os.environ["JUDGE_CONNECTION_STRING"]).create_container(box)
store = AzureStore(
    box, account_name=os.environ["JUDGE_ACCOUNT"], account_key=os.environ["JUDGE_KEY"], endpoint=os.environ["JUDGE_ENDPOINT"],
    client_options={"allow_http": True})
made = obstore.put(store, "dir/a b", b"alpha", attributes={"Content-Type": "text/x", "sourceFile": "orig.csv"})
got = obstore.get(store, "dir/a b")
assert bytes(got.bytes()) == b"alpha" and got.attributes["Content-Type"] == "text/x", got.attributes
assert got.meta["e_tag"] == made["e_tag"]
assert bytes(obstore.get_range(store, "dir/a b", start=1, end=3)) == b"lp"
assert [bytes(part) for part in obstore.get_ranges(store, "dir/a b", starts=[0, 3], ends=[2, 5])] == [b"al", b"ha"]
try:
    obstore.put(store, "dir/a b", b"no", mode="create")
    raise AssertionError("overwritten")
except obstore.exceptions.AlreadyExistsError:
    pass
obstore.put(store, "dir/a b", b"beta", mode={"e_tag": made["e_tag"]})
try:
    obstore.put(store, "dir/a b", b"gamma", mode={"e_tag": made["e_tag"]})
    raise AssertionError("overwritten")
except obstore.exceptions.PreconditionError:
    pass
large = os.urandom(12 << 20)
obstore.put(store, "large", large, chunk_size=5 << 20, use_multipart=True)
assert bytes(obstore.get(store, "large").bytes()) == large
obstore.copy(store, "large", "copy")
obstore.rename(store, "copy", "dir/moved")
try:
    obstore.copy(store, "large", "dir/moved", overwrite=False)
    raise AssertionError("overwritten")
except obstore.exceptions.AlreadyExistsError:
    pass
assert sorted(row["path"] for page in obstore.list(store) for row in page) == ["dir/a b", "dir/moved", "large"]
level = obstore.list_with_delimiter(store)
assert level["common_prefixes"] == ["dir"] and [row["path"] for row in level["objects"]] == ["large"]
url = obstore.sign(store, "GET", "large", __import__("datetime").timedelta(minutes=5))
assert "sig=" in url
# More than one batch of what it deletes.
names = [f"many/{number}" for number in range(300)]
for name in names:
    obstore.put(store, name, b"x")
obstore.delete(store, names)
obstore.delete(store, ["dir/a b", "dir/moved", "large"])
assert [row for page in obstore.list(store) for row in page] == []
try:
    obstore.head(store, "large")
    raise AssertionError("still there")
except FileNotFoundError:
    pass
