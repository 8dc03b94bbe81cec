"""pyarrow's AzureFileSystem, over the vendor's C++ client: Blob and DFS endpoint."""

import os
import uuid
from urllib.parse import urlsplit

from pyarrow import fs

authority = urlsplit(os.environ["JUDGE_ENDPOINT"]).netloc
azure = fs.AzureFileSystem(
    os.environ["JUDGE_ACCOUNT"], account_key=os.environ["JUDGE_KEY"], blob_storage_authority=authority, blob_storage_scheme="http",
    dfs_storage_authority=authority, dfs_storage_scheme="http")
box = "arrow-" + uuid.uuid4().hex[:8]
azure.create_dir(box)
azure.create_dir(f"{box}/dir/sub", recursive=True)
with azure.open_output_stream(f"{box}/dir/a", metadata={"Content-Type": "text/x", "sourceFile": "orig.csv"}) as stream:
    stream.write(b"alpha")
with azure.open_input_stream(f"{box}/dir/a") as stream:
    assert stream.read() == b"alpha"
    found = {name.lower(): value for name, value in stream.metadata().items()}
    assert "text/x" in str(found), found
large = os.urandom(11 << 20)
with azure.open_output_stream(f"{box}/large") as stream:
    stream.write(large)
with azure.open_input_file(f"{box}/large") as file:
    assert file.size() == len(large) and file.read_at(100, 7 << 20) == large[7 << 20:][:100]
info = azure.get_file_info(f"{box}/dir/a")
assert (info.type, info.size) == (fs.FileType.File, 5)
assert azure.get_file_info(f"{box}/dir").type == fs.FileType.Directory
assert azure.get_file_info(f"{box}/none").type == fs.FileType.NotFound
azure.copy_file(f"{box}/dir/a", f"{box}/dir/copy")
listed = azure.get_file_info(fs.FileSelector(box, recursive=True))
files = sorted(found.path for found in listed if found.type == fs.FileType.File)
assert files == [f"{box}/{name}" for name in ("dir/a", "dir/copy", "large")], files
azure.delete_file(f"{box}/dir/copy")
azure.delete_dir_contents(f"{box}/dir")
# In a hierarchical namespace, an empty directory is not found by a selector, though it is listed with 200.
left = azure.get_file_info(fs.FileSelector(f"{box}/dir", recursive=True, allow_not_found=True))
assert left == [] and azure.get_file_info(f"{box}/dir").type == fs.FileType.Directory, left
azure.delete_dir(f"{box}/dir")
azure.delete_dir(box)
