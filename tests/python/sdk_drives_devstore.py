"""Drives a devstore with the official Python client.

The devstore shares no code with blobcp's own client, but both were written from one reading of the protocol. This
script brings in a third: whatever it asserts holds for a client that was made for the real service.

DEVSTORE_CONNECTION_STRING and DEVSTORE_CONNECTION_STRING_2 name two accounts of one server whose copies between
accounts are slow enough to be seen pending (128 KiB per second or less). Prints each step; exits non-zero at the first
that fails.
"""

import datetime
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob import (
    AccountSasPermissions,
    BlobBlock,
    BlobLeaseClient,
    BlobPrefix,
    BlobSasPermissions,
    BlobServiceClient,
    ContainerSasPermissions,
    ContentSettings,
    ResourceTypes,
    generate_account_sas,
    generate_blob_sas,
    generate_container_sas,
)

KIB = 1024
STEPS = []


def step(function):
    STEPS.append(function)
    return function


def in_an_hour():
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)


def refused(code, call, *arguments, **options):
    """The call must fail with this error code."""
    try:
        call(*arguments, **options)
    except HttpResponseError as error:
        assert error.error_code == code, f"expected {code}, got {error.error_code}: {error.message}"
        return error
    raise AssertionError(f"expected {code}, got success")


def read_sas(blob, permission=None, expiry=None):
    return generate_blob_sas(
        blob.account_name,
        blob.container_name,
        blob.blob_name,
        account_key=blob.credential.account_key,
        permission=permission or BlobSasPermissions(read=True),
        expiry=expiry or in_an_hour(),
    )


class World:
    def __init__(self):
        self.one = BlobServiceClient.from_connection_string(os.environ["DEVSTORE_CONNECTION_STRING"])
        # Small limits make the client use blocks for small uploads.
        self.chunked = BlobServiceClient.from_connection_string(
            os.environ["DEVSTORE_CONNECTION_STRING"], max_single_put_size=64 * KIB, max_block_size=100 * KIB,
            min_large_block_upload_threshold=1)
        self.two = BlobServiceClient.from_connection_string(os.environ["DEVSTORE_CONNECTION_STRING_2"])
        self.name = "sdk-" + uuid.uuid4().hex[:8]
        self.here = self.one.create_container(self.name, metadata={"made": "here"})
        self.there = self.two.create_container(self.name)

    def remove(self):
        self.here.delete_container()
        self.there.delete_container()


@step
def account_and_containers(world):
    information = world.one.get_account_information()
    assert information["account_kind"] == "StorageV2" and information["is_hns_enabled"] is False
    assert world.name in [c.name for c in world.one.list_containers(name_starts_with="sdk-", include_metadata=True)]
    assert world.here.get_container_properties().metadata == {"made": "here"}
    refused("ContainerAlreadyExists", world.one.create_container, world.name)
    refused("ContainerNotFound", world.one.get_container_client("missing").get_container_properties)
    wrong = BlobServiceClient(world.one.url, credential="d3Jvbmc=")
    refused("AuthenticationFailed", next, wrong.list_containers())


@step
def single_put(world):
    blob = world.here.get_blob_client("dir/a b.txt")
    blob.upload_blob(b"hello world", metadata={"color": "blue"}, content_settings=ContentSettings("text/plain"))
    properties = blob.get_blob_properties()
    assert properties.size == 11 and properties.content_settings.content_type == "text/plain"
    assert properties.content_settings.content_md5 == bytearray.fromhex("5eb63bbbe01eeed093cb22bb8f5acdc3")
    assert properties.metadata == {"color": "blue"} and properties.blob_tier == "Hot"
    assert blob.download_blob().readall() == b"hello world"
    assert blob.download_blob(offset=6, length=5).readall() == b"world"
    refused("InvalidRange", blob.download_blob, offset=11, length=1)
    refused("BlobAlreadyExists", blob.upload_blob, b"again")
    world.here.upload_blob("empty", b"")
    assert world.here.download_blob("empty").readall() == b""
    blob.upload_blob(b"checked", overwrite=True, validate_content=True)
    assert blob.download_blob(validate_content=True).readall() == b"checked"


@step
def chunked_upload_and_blocks(world):
    data = os.urandom(700 * KIB)
    blob = world.chunked.get_blob_client(world.name, "dir/large")
    blob.upload_blob(data, max_concurrency=4, overwrite=True)
    committed, uncommitted = blob.get_block_list("all")
    assert [block.size for block in committed] == [100 * KIB] * 7 and not uncommitted
    assert world.here.download_blob("dir/large", max_concurrency=4).readall() == data
    parts = world.here.get_blob_client("dir/parts")
    for name in ("a", "b"):
        parts.stage_block(name, name.encode() * 4)
    refused("InvalidBlobOrBlock", parts.stage_block, "of another length", b"tail")
    assert [block.size for block in parts.get_block_list("all")[1]] == [4, 4]
    refused("BlobNotFound", parts.get_blob_properties)
    parts.commit_block_list([BlobBlock("b"), BlobBlock("a"), BlobBlock("b")])
    assert parts.download_blob().readall() == b"bbbbaaaabbbb"
    refused("InvalidBlockList", parts.commit_block_list, [BlobBlock("c")])


@step
def listing(world):
    for number in range(25):
        world.here.upload_blob(f"many/{number:03}", b"x", metadata={"n": str(number)}, overwrite=True)
    pages = [list(page) for page in world.here.list_blobs("many/", results_per_page=10, include=["metadata"]).by_page()]
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [blob.metadata["n"] for page in pages for blob in page] == [str(number) for number in range(25)]
    top = {item.name: isinstance(item, BlobPrefix) for item in world.here.walk_blobs()}
    assert top == {"dir/": True, "empty": False, "many/": True}, top


@step
def conditions(world):
    blob = world.here.get_blob_client("conditions")
    etag = blob.upload_blob(b"1")["etag"]
    blob.set_blob_metadata({"v": "2"}, etag=etag, match_condition=MatchConditions.IfNotModified)
    refused("ConditionNotMet", blob.upload_blob, b"3", overwrite=True, etag=etag,
            match_condition=MatchConditions.IfNotModified)
    assert blob.get_blob_properties().metadata == {"v": "2"}
    blob.set_http_headers(ContentSettings(content_type="a/b", cache_control="no-store"))
    assert blob.get_blob_properties().content_settings.cache_control == "no-store"
    blob.delete_blob()
    refused("BlobNotFound", blob.get_blob_properties)


@step
def snapshots_and_tags(world):
    blob = world.here.get_blob_client("versions")
    blob.upload_blob(b"old")
    snapshot = blob.create_snapshot()["snapshot"]
    blob.upload_blob(b"new", overwrite=True)
    old = world.here.get_blob_client("versions", snapshot=snapshot)
    assert old.download_blob().readall() == b"old"
    refused("SnapshotsPresent", blob.delete_blob)
    names = [(item.name, item.snapshot) for item in world.here.list_blobs("versions", include=["snapshots"])]
    assert names == [("versions", snapshot), ("versions", None)], names
    blob.start_copy_from_url(old.url)
    assert blob.download_blob().readall() == b"old"
    blob.set_blob_tags({"stage": "final", "n": "1"})
    assert blob.get_blob_tags() == {"stage": "final", "n": "1"}
    assert blob.get_blob_properties(if_tags_match_condition="stage = 'final'").tag_count == 2
    found = [item.name for item in world.one.find_blobs_by_tags("stage = 'final'") if item.container_name == world.name]
    assert found == ["versions"]
    blob.delete_blob(delete_snapshots="include")


@step
def leases(world):
    blob = world.here.get_blob_client("leased")
    blob.upload_blob(b"1")
    lease = blob.acquire_lease(15)
    refused("LeaseIdMissing", blob.upload_blob, b"2", overwrite=True)
    blob.upload_blob(b"3", overwrite=True, lease=lease)
    lease.renew()
    lease.change(str(uuid.uuid4()))
    refused("LeaseAlreadyPresent", blob.acquire_lease, 15)
    assert blob.get_blob_properties().lease.state == "leased"
    lease.release()
    infinite = blob.acquire_lease(-1)
    assert blob.get_blob_properties().lease.duration == "infinite"
    assert BlobLeaseClient(blob).break_lease() == 0
    assert blob.get_blob_properties().lease.state == "broken"
    refused("LeaseIsBrokenAndCannotBeRenewed", infinite.renew)


@step
def copy_within_the_account(world):
    source = world.here.get_blob_client("dir/a b.txt")
    source.upload_blob(b"to copy", overwrite=True, metadata={"color": "red"})
    copy = world.here.get_blob_client("copy of a b.txt")
    result = copy.start_copy_from_url(source.url)
    assert result["copy_status"] == "success", result
    properties = copy.get_blob_properties()
    assert properties.copy.id == result["copy_id"] and properties.copy.progress == "7/7"
    assert properties.metadata == {"color": "red"} and copy.download_blob().readall() == b"to copy"
    refused("NoPendingCopyOperation", copy.abort_copy, result["copy_id"])
    refused("BlobNotFound", copy.start_copy_from_url, source.url + "x")
    copy.start_copy_from_url(source.url, requires_sync=False, metadata={"only": "this"})
    assert copy.get_blob_properties().metadata == {"only": "this"}


@step
def copy_across_accounts(world):
    source = world.here.get_blob_client("big")
    data = os.urandom(300 * KIB)
    source.upload_blob(data, metadata={"from": "here"})
    copy = world.there.get_blob_client("big")
    copy.upload_blob(b"previous content", metadata={"old": "yes"})
    error = refused("CannotVerifyCopySource", copy.start_copy_from_url, source.url)
    assert error.response.headers["x-ms-copy-source-status-code"] == "401"
    assert copy.download_blob().readall() == b"previous content"

    url = source.url + "?" + read_sas(source)
    started = copy.start_copy_from_url(url)
    assert started["copy_status"] == "pending", started
    pending = copy.get_blob_properties()
    assert pending.copy.status == "pending" and pending.size == 0 and pending.copy.completion_time is None
    assert pending.metadata == {"from": "here"}
    refused("PendingCopyOperation", copy.upload_blob, b"x", overwrite=True)
    refused("PendingCopyOperation", copy.delete_blob)
    refused("PendingCopyOperation", copy.start_copy_from_url, url)
    listed = next(world.there.list_blobs("big", include=["copy"]))
    assert listed.copy.status == "pending" and listed.copy.id == started["copy_id"]
    while (properties := copy.get_blob_properties()).copy.status == "pending":
        print("   ", properties.copy.progress)
        time.sleep(0.2)
    assert properties.copy.status == "success" and properties.copy.completion_time is not None
    assert properties.etag != pending.etag and properties.copy.progress == f"{300 * KIB}/{300 * KIB}"
    assert copy.download_blob().readall() == data


@step
def abort(world):
    source = world.here.get_blob_client("big")
    copy = world.there.get_blob_client("aborted")
    started = copy.start_copy_from_url(source.url + "?" + read_sas(source), metadata={"new": "yes"})
    refused("CopyIdMismatch", copy.abort_copy, str(uuid.uuid4()))
    copy.abort_copy(started["copy_id"])
    properties = copy.get_blob_properties()
    assert properties.copy.status == "aborted" and properties.size == 0 and properties.metadata == {"new": "yes"}
    copy.upload_blob(b"usable again", overwrite=True)
    assert copy.get_blob_properties().copy.status is None


@step
def source_changes_under_a_copy(world):
    source = world.here.get_blob_client("changing")
    source.upload_blob(os.urandom(300 * KIB))
    copy = world.there.get_blob_client("changed")
    copy.start_copy_from_url(source.url + "?" + read_sas(source))
    source.set_blob_metadata({"changed": "now"})
    properties = copy.get_blob_properties()
    assert properties.copy.status == "failed" and properties.size == 0
    assert properties.copy.status_description.startswith("412 "), properties.copy.status_description


@step
def from_url(world):
    source = world.here.get_blob_client("big")
    url = source.url + "?" + read_sas(source)
    data = source.download_blob().readall()
    whole = world.there.get_blob_client("from-url")
    whole.upload_blob_from_url(url, metadata={"m": "1"})
    assert whole.download_blob().readall() == data and whole.get_blob_properties().metadata == {"m": "1"}
    assert whole.start_copy_from_url(url, requires_sync=True)["copy_status"] == "success"
    parts = world.there.get_blob_client("from-parts")
    parts.stage_block_from_url("block-0", url, source_offset=1000, source_length=500)
    parts.stage_block("block-1", b"local")
    parts.commit_block_list([BlobBlock("block-1"), BlobBlock("block-0")])
    assert parts.download_blob().readall() == b"local" + data[1000:1500]


@step
def append_and_page_blobs(world):
    append = world.here.get_blob_client("append")
    append.create_append_blob()
    append.append_block(b"one,")
    assert append.append_block(b"two", appendpos_condition=4)["blob_append_offset"] == "4"
    refused("AppendPositionConditionNotMet", append.append_block, b"x", appendpos_condition=0)
    page = world.here.get_blob_client("page")
    page.create_page_blob(4096)
    page.upload_page(b"p" * 512, offset=1024, length=512)
    assert page.get_page_ranges()[0] == [{"start": 1024, "end": 1535}]
    for blob, kind in ((append, "AppendBlob"), (page, "PageBlob")):
        copy = world.here.get_blob_client(blob.blob_name + "-copy")
        copy.start_copy_from_url(blob.url)
        assert copy.get_blob_properties().blob_type == kind
        assert copy.download_blob().readall() == blob.download_blob().readall()
        refused("InvalidBlobType", copy.start_copy_from_url, world.here.get_blob_client("big").url)
    page.clear_page(1024, 512)
    assert page.get_page_ranges()[0] == []


@step
def shared_access_signatures(world):
    name, key = world.one.account_name, world.one.credential.account_key
    blob = world.here.get_blob_client("big")
    reader = BlobServiceClient(world.one.url, credential=read_sas(blob)).get_blob_client(world.name, "big")
    assert reader.get_blob_properties().size == 300 * KIB
    refused("AuthorizationPermissionMismatch", reader.delete_blob)
    past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=1)
    expired = BlobServiceClient(world.one.url, credential=read_sas(blob, expiry=past))
    refused("AuthenticationFailed", expired.get_blob_client(world.name, "big").get_blob_properties)
    letters = ContainerSasPermissions(read=True, create=True, list=True)
    sas = generate_container_sas(name, world.name, account_key=key, permission=letters, expiry=in_an_hour())
    limited = BlobServiceClient(world.one.url, credential=sas).get_container_client(world.name)
    assert "big" in [item.name for item in limited.list_blobs()]
    limited.upload_blob("made-with-sas", b"new")
    refused("UnauthorizedBlobOverwrite", limited.upload_blob, "made-with-sas", b"over", overwrite=True)
    sas = generate_account_sas(name, key, ResourceTypes(service=True), AccountSasPermissions(list=True), in_an_hour())
    assert list(BlobServiceClient(world.one.url, credential=sas).list_containers())
    # The destination's SAS does not reach the source.
    target = world.here.get_blob_client("sas-copy")
    write = BlobSasPermissions(create=True, write=True)
    writer = BlobServiceClient(world.one.url, credential=read_sas(target, write)).get_blob_client(world.name, "sas-copy")
    refused("CannotVerifyCopySource", writer.start_copy_from_url, blob.url)
    assert writer.start_copy_from_url(blob.url + "?" + read_sas(blob))["copy_status"] == "success"


@step
def public_access(world):
    world.here.set_container_access_policy({}, public_access="blob")
    url = world.here.get_blob_client("empty").url
    assert urllib.request.urlopen(url).read() == b""
    try:
        urllib.request.urlopen(world.here.url + "?restype=container&comp=list")
        raise AssertionError("a private listing was public")
    except urllib.error.HTTPError as error:
        assert error.code == 401, error.code


def main():
    world = World()
    for function in STEPS:
        print(function.__name__.replace("_", " "), flush=True)
        function(world)
    world.remove()
    print(f"{len(STEPS)} steps passed")


if __name__ == "__main__":
    sys.exit(main())
