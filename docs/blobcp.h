/*
 * The ioctl interface of a blobcp mount: start a copy inside the Blob service,
 * ask for its state, abort it; copy whole trees, list the copies of a tree; take
 * snapshots, see to leases. Works on descriptors of files and directories of the mount, for
 * whoever may do the same by open(2) and write(2); no credentials are needed.
 * interface.md tells more.
 *
 * Text fields hold UTF-8 and end with a zero byte. Fields that are not mentioned
 * as "in" should be zero.
 *
 * errno: ENOTTY  not a command of blobcp, or not on a mount of blobcp
 *        EINVAL  wrong size, unknown flag, or a text field without a zero byte
 *        EACCES  the source may not be read, or the destination not written
 *        EROFS   the mount is read-only
 *        ENODATA no copy state (STATUS), no pending copy (ABORT), no tree is being
 *                copied into the directory (NEWS, ABORT), no lease (LEASE)
 *        others  what the operation itself fails with
 */
#ifndef BLOBCP_H
#define BLOBCP_H

#include <stdint.h>
#include <sys/ioctl.h>

#define BLOBCP_PATH_SIZE 4096
#define BLOBCP_ID_SIZE 64
#define BLOBCP_DESCRIPTION_SIZE 1024
#define BLOBCP_RECORDS_SIZE 16000
#define BLOBCP_TIER_SIZE 32
#define BLOBCP_WORD_SIZE 32
#define BLOBCP_METADATA_SIZE 4096

/* blobcp_copy.flags, blobcp_tree.flags */
#define BLOBCP_NO_REPLACE 1u     /* EEXIST if the destination exists; in a tree, skip it */
#define BLOBCP_NO_WAIT 2u        /* a copy is done when it is accepted */
#define BLOBCP_SNAPSHOT_FIRST 4u /* snapshot the destination, promote it on failure or abort */
#define BLOBCP_LEASE_SOURCE 8u   /* lease the source while the copy is pending */
#define BLOBCP_LEASE_EARLY 128u  /* with BLOBCP_LEASE_SOURCE: from before the start */
#define BLOBCP_NO_LEASE 256u     /* do not lease the source, whatever the mount does */
#define BLOBCP_BY_COPY_BLOB 512u /* from another account by Copy Blob, whatever the mount does */
#define BLOBCP_BY_BLOCKS 1024u   /* from another account in blocks; with BLOBCP_BY_COPY_BLOB the faster way */
#define BLOBCP_UPDATE 2048u      /* in a tree, skip what exists and is not older than its source */
#define BLOBCP_LEASE_ID 64u      /* blobcp_copy: id holds the lease of the destination */
#define BLOBCP_FOLLOWED 4096u    /* blobcp_copy, with BLOBCP_NO_WAIT: the caller waits for the end by BLOBCP_IOC_STATUS */
#define BLOBCP_RECURSIVE 16u     /* blobcp_tree: directories, too */
#define BLOBCP_DRY_RUN 32u       /* blobcp_tree: only tell what would be copied */

/* blobcp_copies.flags: in */
#define BLOBCP_AGAIN 1u      /* begin anew */
#define BLOBCP_UNFINISHED 2u /* only what is pending, failed or aborted */
#define BLOBCP_CLEAN 4u      /* blobcp_leftovers: end what can be ended */
/* blobcp_news.flags, blobcp_copies.flags, blobcp_leftovers.flags: out */
#define BLOBCP_DONE 0x100u   /* there is no more to tell */
#define BLOBCP_LISTED 0x200u /* blobcp_news: found_files and found_bytes are final */

/* blobcp_copy.status, blobcp_status.status, blobcp_entry.status */
#define BLOBCP_PENDING 1u
#define BLOBCP_SUCCESS 2u
#define BLOBCP_ABORTED 3u
#define BLOBCP_FAILED 4u
/* blobcp_entry.status in blobcp_news */
#define BLOBCP_EXISTS 5u   /* skipped: it is there (BLOBCP_NO_REPLACE) */
#define BLOBCP_SAME 6u     /* skipped: what is there is a copy of the same */
#define BLOBCP_DUE 7u      /* would be copied (BLOBCP_DRY_RUN) */
#define BLOBCP_ACCEPTED 8u /* its end is not waited for (BLOBCP_NO_WAIT) */

/* blobcp_entry.status in blobcp_leftovers */
#define BLOBCP_BACKUP 16u       /* a snapshot that kept what a copy was to replace */
#define BLOBCP_HIDDEN 17u       /* a blob under a hidden name */
#define BLOBCP_LEASED 18u       /* a lease */
#define BLOBCP_MOVE 19u         /* a file that has its old name and its new one */
#define BLOBCP_MOVE_TREE 20u    /* files of a directory that have both */
#define BLOBCP_PENDING_COPY 21u /* a copy that is pending */
#define BLOBCP_BLOCKS 22u       /* blocks of a file that was never stored */
#define BLOBCP_GIVEN_UP 23u     /* an empty file, the copy onto which was given up on the way */

/* blobcp_status.method */
#define BLOBCP_BLOB_METHOD 1u   /* Copy Blob, or another operation of the service */
#define BLOBCP_BLOCKS_METHOD 2u /* blocks, which only this mount knows of */

/* blobcp_lease.action */
#define BLOBCP_SHOW 0u
#define BLOBCP_BREAK 1u /* ends it at once, whoever has it */

struct blobcp_copy {
	uint32_t flags;                     /* in */
	uint32_t status;                    /* out: PENDING or SUCCESS */
	char source[BLOBCP_PATH_SIZE];      /* in: path from the mount's root, or URL */
	char destination[BLOBCP_PATH_SIZE]; /* in: name in this directory; empty on a file */
	char id[BLOBCP_ID_SIZE];            /* out: copy id; in, with BLOBCP_LEASE_ID: lease id */
	char tier[BLOBCP_TIER_SIZE];        /* in: access tier; empty: as without */
	char metadata[BLOBCP_METADATA_SIZE]; /* in: NAME=VALUE lines; empty: the source's */
};

struct blobcp_status {
	uint32_t status;
	uint32_t method; /* BLOBCP_BLOB_METHOD, BLOBCP_BLOCKS_METHOD */
	uint64_t bytes_copied;
	uint64_t total_bytes;
	int64_t completion_time; /* seconds since the epoch; 0 while pending */
	char id[BLOBCP_ID_SIZE];
	char source[BLOBCP_PATH_SIZE]; /* URL without its token */
	char description[BLOBCP_DESCRIPTION_SIZE];
};

struct blobcp_abort {
	char id[BLOBCP_ID_SIZE]; /* in: only this copy; any, if empty */
};

struct blobcp_snapshot {
	char moment[BLOBCP_ID_SIZE]; /* out: of DIR/NAME it is DIR/.snapshots/NAME/MOMENT */
};

struct blobcp_lease {
	uint32_t action; /* in: BLOBCP_SHOW or BLOBCP_BREAK */
	uint32_t reserved;
	char state[BLOBCP_WORD_SIZE];            /* available, leased, expired, breaking, broken */
	char duration[BLOBCP_WORD_SIZE];         /* infinite, fixed; empty while it is not leased */
	char holder[BLOBCP_DESCRIPTION_SIZE];    /* who has it, as far as the mount knows */
};

struct blobcp_tree {
	uint32_t flags;                     /* in */
	uint32_t jobs;                      /* in: copies at once, of all trees of the descriptor */
	char source[BLOBCP_PATH_SIZE];      /* in: path from the mount's root */
	char destination[BLOBCP_PATH_SIZE]; /* in: name in this directory; empty: what is in the source goes here */
};

/* Files and bytes count from the beginning. */
struct blobcp_news {
	uint32_t flags;
	uint32_t count; /* of records */
	uint64_t found_files;
	uint64_t found_bytes;
	uint64_t copied_files;
	uint64_t copied_bytes;
	uint64_t skipped_files;
	uint64_t skipped_bytes;
	uint64_t failed_files;
	uint64_t failed_bytes;
	uint64_t aborted_files;
	uint64_t aborted_bytes;
	uint64_t pending_files;
	uint64_t pending_bytes; /* of these, copied already */
	uint64_t bears;         /* copies at once that the service bears; 0: it was never too busy */
	char records[BLOBCP_RECORDS_SIZE];
};

struct blobcp_copies {
	uint32_t flags; /* in and out */
	uint32_t count; /* of records */
	int64_t since;  /* in, with BLOBCP_UNFINISHED: also what ended since then */
	char records[BLOBCP_RECORDS_SIZE];
};

/*
 * In the records, error is 0 for what can be ended, or was with CLEAN; EBUSY for what
 * stays because something is in doubt; EAGAIN for what ends by itself; otherwise why
 * it could not be ended. The fourth text says what is to be done, or why it stays.
 */
struct blobcp_leftovers {
	uint32_t flags; /* in and out */
	uint32_t count; /* of records */
	char records[BLOBCP_RECORDS_SIZE];
};

/*
 * A record. Behind it stand four texts, each with a zero byte at its end: path from
 * the directory, copy id, source without its token, description or reason.
 */
struct blobcp_entry {
	uint32_t length; /* to the next record, bytes */
	uint32_t status; /* 0: nothing was ever copied onto it */
	int32_t error;   /* errno of a failure in blobcp_news and blobcp_leftovers */
	uint32_t method; /* in blobcp_copies as in blobcp_status, otherwise 0 */
	uint64_t bytes_copied;
	uint64_t total_bytes;
	int64_t completion_time;
	int64_t modified; /* of a pending copy: when it was started */
};

/* Why the last request of the calling thread on this mount was refused, as the mount's
 * log has it. A thread that never was: ENODATA. */
#define BLOBCP_OF_THE_REQUEST 0
#define BLOBCP_OF_THE_SOURCE 1 /* about the source of a copy; all else of COPY is about its destination */
struct blobcp_reason {
	int32_t error;      /* the errno that was answered */
	uint32_t about;     /* BLOBCP_OF_THE_REQUEST, BLOBCP_OF_THE_SOURCE */
	char operation[32]; /* the request as FUSE calls it: ioctl, mkdir */
	char text[2048];    /* whom the service refused what, in its own words */
};

/* On a directory (with destination) or on the destination file itself. A file
 * may be copied onto itself: that is how it gets another tier or time. */
#define BLOBCP_IOC_COPY _IOWR(0xBC, 1, struct blobcp_copy)
/* On a file: the state of the last copy onto it, asked from the service. */
#define BLOBCP_IOC_STATUS _IOR(0xBC, 2, struct blobcp_status)
/* On a file: abort the pending copy onto it. On a directory: end BLOBCP_IOC_TREE. */
#define BLOBCP_IOC_ABORT _IOW(0xBC, 3, struct blobcp_abort)
/* On a directory: copy a file or tree into it, or add one to those that are. Returns at once. */
#define BLOBCP_IOC_TREE _IOW(0xBC, 4, struct blobcp_tree)
/* On the same descriptor, until BLOBCP_DONE: waits for news, 200 ms at most. */
#define BLOBCP_IOC_NEWS _IOR(0xBC, 5, struct blobcp_news)
/* On a directory, until BLOBCP_DONE: the files below it with their copies. */
#define BLOBCP_IOC_COPIES _IOWR(0xBC, 6, struct blobcp_copies)
/* On a file: take a snapshot of it, with all that was written to it here. */
#define BLOBCP_IOC_SNAPSHOT _IOR(0xBC, 7, struct blobcp_snapshot)
/* On a file: show its lease, or break it. */
#define BLOBCP_IOC_LEASE _IOWR(0xBC, 8, struct blobcp_lease)
/* On a directory, until BLOBCP_DONE: what mounts that were killed have left below it. */
#define BLOBCP_IOC_LEFTOVERS _IOWR(0xBC, 9, struct blobcp_leftovers)
/* On any file or directory, by the thread that was refused. */
#define BLOBCP_IOC_REASON _IOR(0xBC, 10, struct blobcp_reason)

#endif
