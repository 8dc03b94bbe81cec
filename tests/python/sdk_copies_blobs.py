"""Copies blobs with the official Python client, as its users do: start a copy and follow it, abort one, lease a source
and break the lease.

Between its steps it stops at moments. `at NAME` on the standard output says that one has come; a line on the standard
input lets it look; what it sees is printed as one line of JSON, blob by blob; and with the next line it goes on. So
whoever runs it can steer the service's copies to that moment, and look at the same blobs with other eyes.

SOURCE_ACCOUNT and DESTINATION_ACCOUNT are connection strings; both accounts have a container `box`, and the first one
a blob `source` in it.
"""

import datetime
import json
import os
import sys
import uuid

from azure.storage.blob import BlobLeaseClient, BlobSasPermissions, BlobServiceClient, generate_blob_sas

CONTAINER = "box"
# The names are those under which a mount of both accounts has them.
ACCOUNTS = {
    "one": BlobServiceClient.from_connection_string(os.environ["SOURCE_ACCOUNT"]),
    "two": BlobServiceClient.from_connection_string(os.environ["DESTINATION_ACCOUNT"]),
}


def blob_at(path):
    account, name = path.split("/")
    return ACCOUNTS[account].get_blob_client(CONTAINER, name)


def readable(blob):
    """The blob's URL for another account, whose service has to be allowed to read it."""
    signature = generate_blob_sas(
        blob.account_name,
        blob.container_name,
        blob.blob_name,
        account_key=blob.credential.account_key,
        permission=BlobSasPermissions(read=True),
        expiry=datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1),
    )
    return f"{blob.url}?{signature}"


def unsigned(url):
    """The service tells the source as it was told it, with the signature, which is nobody's business."""
    address, question_mark, query = (url or "").partition("?")
    kept = [field for field in query.split("&") if not field.startswith("sig=")]
    return address + question_mark + "&".join(kept) if url else None


def as_header(time):
    return time and time.strftime("%a, %d %b %Y %H:%M:%S GMT")


def seen(path):
    properties = blob_at(path).get_blob_properties()
    copy, lease = properties.copy, properties.lease
    copied, _, total = (copy.progress or "").partition("/")
    return {
        "copy.id": copy.id,
        "copy.status": copy.status,
        "copy.source": unsigned(copy.source),
        "copy.progress": copy.progress,
        "copy.bytes_copied": copied or None,
        "copy.total_bytes": total or None,
        "copy.completion_time": as_header(copy.completion_time),
        "copy.status_description": copy.status_description,
        "lease_state": lease.state,
        "lease_status": lease.status,
        "lease_duration": lease.duration,
        "type": str(properties.blob_type.value),
        # Without the quotes of the header, as listings have it.
        "etag": properties.etag.strip('"'),
        "last_modified": as_header(properties.last_modified),
        "size": properties.size,
    }


def moment(name, *paths):
    print("at", name, flush=True)
    sys.stdin.readline()
    print(json.dumps({path: seen(path) for path in paths}), flush=True)
    if not sys.stdin.readline():
        sys.exit("nobody waits for more")


def follow_a_copy_of_a_leased_source():
    source, copy = blob_at("one/source"), blob_at("two/copy")
    # Nobody changes the source while it is copied.
    lease = source.acquire_lease(lease_duration=-1)
    try:
        started = copy.start_copy_from_url(readable(source))
        assert started["copy_status"] == "pending", started
        moment("the start", "one/source", "two/copy")
        moment("half-way", "one/source", "two/copy")
        moment("trouble", "two/copy")
        moment("the end", "one/source", "two/copy")
    finally:
        if source.get_blob_properties().lease.state == "leased":
            lease.break_lease(lease_break_period=0)
    moment("the broken lease", "one/source")


def abort_a_copy():
    copy = blob_at("two/aborted")
    started = copy.start_copy_from_url(readable(blob_at("one/source")))
    moment("before the abort", "two/aborted")
    copy.abort_copy(started["copy_id"])
    moment("after the abort", "two/aborted")


def lose_the_source():
    blob_at("two/failed").start_copy_from_url(readable(blob_at("one/source")))
    moment("before the failure", "two/failed")
    moment("after the failure", "two/failed")


def have_a_copy_aborted():
    blob_at("two/given-up").start_copy_from_url(readable(blob_at("one/source")))
    moment("before somebody's abort", "two/given-up")
    moment("after somebody's abort", "two/given-up")


def abort_somebody_elses_copy():
    moment("somebody's copy", "two/theirs")
    copy = blob_at("two/theirs")
    copy.abort_copy(copy.get_blob_properties().copy.id)
    moment("somebody's aborted copy", "two/theirs")


def copy_within_the_account():
    copied = blob_at("one/near").start_copy_from_url(blob_at("one/source").url)
    assert copied["copy_status"] == "success", copied
    moment("a copy within the account", "one/near", "one/source")


def lease_for_a_while():
    source = blob_at("one/source")
    lease = BlobLeaseClient(source, lease_id=str(uuid.uuid4()))
    lease.acquire(lease_duration=60)
    moment("a lease of a minute", "one/source")
    lease.renew()
    lease.break_lease(lease_break_period=60)
    moment("a lease that is ending", "one/source")
    lease.release()
    moment("a released lease", "one/source", "two/copy")


def main():
    follow_a_copy_of_a_leased_source()
    abort_a_copy()
    lose_the_source()
    have_a_copy_aborted()
    abort_somebody_elses_copy()
    copy_within_the_account()
    lease_for_a_while()


if __name__ == "__main__":
    main()
