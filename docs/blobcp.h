/*
 * The ioctl interface of a blobcp mount: start a copy inside the Blob service,
 * ask for its state, abort it; take a snapshot. Works on descriptors of files and directories of
 * the mount, for whoever may use them; no credentials are needed.
 *
 * Text fields hold UTF-8 and end with a zero byte. Fields that are not mentioned
 * as "in" should be zero.
 *
 * errno: ENOTTY  not a command of blobcp, or not on a mount of blobcp
 *        EINVAL  wrong size, unknown flag, or a text field without a zero byte
 *        ENODATA no copy state (STATUS), no pending copy (ABORT)
 *        others  what the operation itself fails with
 */
#ifndef BLOBCP_H
#define BLOBCP_H

#include <stdint.h>
#include <sys/ioctl.h>

#define BLOBCP_PATH_SIZE 4096
#define BLOBCP_ID_SIZE 64
#define BLOBCP_DESCRIPTION_SIZE 1024
#define BLOBCP_TIER_SIZE 32
#define BLOBCP_METADATA_SIZE 4096

/* blobcp_copy.flags */
#define BLOBCP_NO_REPLACE 1u     /* EEXIST if the destination exists */
#define BLOBCP_NO_WAIT 2u        /* return when the copy is accepted */
#define BLOBCP_SNAPSHOT_FIRST 4u /* snapshot the destination, promote it on failure */
#define BLOBCP_LEASE_SOURCE 8u   /* lease the source while the copy is pending */

/* blobcp_copy.status, blobcp_status.status */
#define BLOBCP_PENDING 1u
#define BLOBCP_SUCCESS 2u
#define BLOBCP_ABORTED 3u
#define BLOBCP_FAILED 4u

struct blobcp_copy {
	uint32_t flags;                     /* in */
	uint32_t status;                    /* out: PENDING or SUCCESS */
	char source[BLOBCP_PATH_SIZE];      /* in: path from the mount's root, or URL */
	char destination[BLOBCP_PATH_SIZE]; /* in: name in this directory; empty on a file */
	char id[BLOBCP_ID_SIZE];            /* out: copy id */
	char tier[BLOBCP_TIER_SIZE];        /* in: access tier; empty: as without */
	char metadata[BLOBCP_METADATA_SIZE]; /* in: NAME=VALUE lines; empty: the source's */
};

struct blobcp_status {
	uint32_t status;
	uint32_t reserved;
	uint64_t bytes_copied;
	uint64_t total_bytes;
	int64_t completion_time; /* seconds since the epoch; 0 while pending */
	char id[BLOBCP_ID_SIZE];
	char source[BLOBCP_PATH_SIZE]; /* URL without its signature */
	char description[BLOBCP_DESCRIPTION_SIZE];
};

struct blobcp_abort {
	char id[BLOBCP_ID_SIZE]; /* in: only this copy; any, if empty */
};

struct blobcp_snapshot {
	char moment[BLOBCP_ID_SIZE]; /* out: of DIR/NAME it is DIR/.snapshots/NAME/MOMENT */
};

/* On a directory (with destination) or on the destination file itself. A file
 * may be copied onto itself: that is how it gets another tier or time. */
#define BLOBCP_IOC_COPY _IOWR(0xBC, 1, struct blobcp_copy)
/* On a file: the state of the last copy onto it, asked from the service. */
#define BLOBCP_IOC_STATUS _IOR(0xBC, 2, struct blobcp_status)
/* On a file: abort the pending copy onto it. */
#define BLOBCP_IOC_ABORT _IOW(0xBC, 3, struct blobcp_abort)
/* On a file: take a snapshot of it, with all that was written to it here. */
#define BLOBCP_IOC_SNAPSHOT _IOR(0xBC, 7, struct blobcp_snapshot)

#endif
