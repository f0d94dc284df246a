"""What S3's errors mean, as errors of this package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from event_backbone.errors import (
    BackboneError,
    ConfigurationError,
    PayloadForbidden,
    PayloadGone,
    StorageError,
    StorageUnavailable,
)
from event_backbone.storage.s3.options import (
    ACCESS_KEY_VARIABLE,
    BUCKET_VARIABLE,
    ENDPOINT_VARIABLE,
    REGION_VARIABLE,
    SECRET_VARIABLE,
    SESSION_TOKEN_VARIABLE,
)

Problem = Literal[
    "no object", "no bucket", "forbidden", "credentials", "expired", "region", "kms", "option", "unsupported", "outage"
]

_CODE = re.compile(r"<Code>([\w.]+)</Code>")
_BY_CODE: Mapping[str, Problem] = {
    "NoSuchBucket": "no bucket",
    "NoSuchKey": "no object",
    "AccessDenied": "forbidden",
    "AllAccessDisabled": "forbidden",
    "AccountProblem": "forbidden",
    "InvalidObjectState": "forbidden",  # moved to an archive such as Glacier
    "InvalidAccessKeyId": "credentials",
    "SignatureDoesNotMatch": "credentials",
    "InvalidToken": "credentials",
    "NotSignedUp": "credentials",
    "RequestTimeTooSkewed": "expired",
    "ExpiredToken": "expired",
    "TokenRefreshRequired": "expired",
    "AuthorizationHeaderMalformed": "region",
    "PermanentRedirect": "region",
    "KMS.DisabledException": "kms",
    "KMS.InvalidKeyUsageException": "kms",
    "KMS.KMSInvalidStateException": "kms",
    "KMS.NotFoundException": "kms",
    "InvalidEncryptionAlgorithmError": "option",
    "InvalidStorageClass": "option",
    "InvalidTag": "option",
    "NotImplemented": "unsupported",
}
_NO_BUCKET = f"The S3 bucket {{bucket}} does not exist at {{endpoint}}; create it, or correct {BUCKET_VARIABLE}."
_SENTENCES: Mapping[Problem, str] = {
    "no bucket": _NO_BUCKET,
    "no object": _NO_BUCKET,  # of a write, which needs no object
    "forbidden": (
        "S3 forbids writing to bucket {bucket}: grant s3:PutObject and s3:GetObject on its objects, as the policy does "
        "that `bucket policy` prints."
    ),
    "credentials": (
        f"S3 at {{endpoint}} does not know these credentials; correct {ACCESS_KEY_VARIABLE}, {SECRET_VARIABLE} "
        f"and, if there is one, {SESSION_TOKEN_VARIABLE}, or the AWS profile."
    ),
    "expired": "The AWS credentials have expired and cannot be renewed, or this machine's clock is wrong.",
    "region": f"The S3 bucket {{bucket}} is in another region; set {REGION_VARIABLE} to the bucket's own.",
    "kms": "S3 cannot use the KMS key for bucket {bucket}; correct kms_key of S3Options, or enable the key.",
    "option": "S3 at {endpoint} refuses the encryption, storage_class or tags of S3Options; correct or remove them.",
    "unsupported": (
        "S3 at {endpoint} does not support conditional writes (If-None-Match), which are required, or an option such "
        "as encryption, storage_class, checksum or tags."
    ),
    "outage": f"S3 at {{endpoint}} does not answer, or refuses for now; start it or correct {ENDPOINT_VARIABLE}.",
}
_NOT_PARTIAL = "non-partial response when range requested"  # obstore's text about 200 with everything
_RENEWAL = "credential provider"
_REDIRECT = "redirect without LOCATION"  # obstore keeps nothing else of S3's own answer; a proxy would give a location


def problem_of(error: Exception) -> Problem:
    """Return what went wrong, by the code in S3's answer, else by obstore's text; what neither explains is an outage.

    A status alone explains nothing: load balancers and proxies answer 403 and 404 too, while S3 itself is down.
    """
    text = str(error)
    if code := _CODE.search(text):
        return _BY_CODE.get(code.group(1), "outage")
    if _RENEWAL in text:
        return "expired"
    return "region" if _REDIRECT in text else "outage"


def is_beyond_end(error: Exception) -> bool:
    """Return whether an object has no byte of the range that was asked for."""
    match = _CODE.search(str(error))
    return match is not None and match.group(1) == "InvalidRange"


def ignores_ranges(error: Exception) -> bool:
    """Return whether the server answers a range with the whole object, as HTTP lets it."""
    return _NOT_PARTIAL in str(error)


def is_unmet_condition(error: Exception, *, of_replacing: bool) -> bool:
    """Return whether a conditional write found the object in another state than it was to be.

    That is 412 with S3's own code, and 404 if the version that was to be replaced has been deleted. 409 is not: another
    writer is busy, and may yet fail.
    """
    match = _CODE.search(str(error))
    code = match and match.group(1)
    return code == "PreconditionFailed" or (of_replacing and code == "NoSuchKey")


def read_error(problem: Problem, bucket: str, key: str, endpoint: str) -> StorageError:
    """Return what a failed read means for the event.

    S3 says "forbidden" of a missing object when the bucket may not be listed, so that must not be retried forever.
    What concerns every object alike says nothing about this one, and is worth waiting for.
    """
    if problem == "no object":
        return PayloadGone(f"There is no S3 object {key} in bucket {bucket}.")
    if problem == "forbidden":
        return PayloadForbidden(f"The S3 object {key} in bucket {bucket} is missing or forbidden.")
    return StorageUnavailable(_SENTENCES[problem].format(bucket=bucket, endpoint=endpoint))


def write_error(problem: Problem, bucket: str, endpoint: str) -> BackboneError:
    """Return what a failed write means: a setting to correct, or an outage to wait for."""
    if problem in {"outage", "expired"}:
        return StorageUnavailable(_SENTENCES[problem].format(bucket=bucket, endpoint=endpoint))
    return ConfigurationError(_SENTENCES[problem].format(bucket=bucket, endpoint=endpoint))


def list_error(problem: Problem, bucket: str, endpoint: str) -> BackboneError:
    """Return what a failed listing means: a permission or setting to correct, or an outage to wait for."""
    if problem == "forbidden":
        return ConfigurationError(
            f"S3 forbids listing bucket {bucket}: grant s3:ListBucket on it, as the policy does that `bucket policy` "
            "prints."
        )
    return write_error(problem, bucket, endpoint)
