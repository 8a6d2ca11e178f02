"""The images of the algorithm and of its compiled models: one account and one registry host a region."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from airflow_ll.exceptions import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ACCOUNTS", "NEO_ACCOUNTS", "NEO_REPOSITORIES", "image_region", "image_uri", "neo_image_uri"]

#: The AWS account that owns the image, by region.
ACCOUNTS: Final[Mapping[str, str]] = {
    "af-south-1": "455444449433",
    "ap-east-1": "286214385809",
    "ap-northeast-1": "351501993468",
    "ap-northeast-2": "835164637446",
    "ap-northeast-3": "867004704886",
    "ap-south-1": "991648021394",
    "ap-south-2": "628508329040",
    "ap-southeast-1": "475088953585",
    "ap-southeast-2": "712309505854",
    "ap-southeast-3": "951798379941",
    "ap-southeast-4": "106583098589",
    "ca-central-1": "469771592824",
    "ca-west-1": "190319476487",
    "cn-north-1": "390948362332",
    "cn-northwest-1": "387376663083",
    "eu-central-1": "664544806723",
    "eu-central-2": "680994064768",
    "eu-north-1": "669576153137",
    "eu-south-1": "257386234256",
    "eu-south-2": "104374241257",
    "eu-west-1": "438346466558",
    "eu-west-2": "644912444149",
    "eu-west-3": "749696950732",
    "il-central-1": "898809789911",
    "me-central-1": "272398656194",
    "me-south-1": "249704162688",
    "sa-east-1": "855470959533",
    "us-east-1": "382416733822",
    "us-east-2": "404615174143",
    "us-gov-east-1": "237065988967",
    "us-gov-west-1": "226302683700",
    "us-iso-east-1": "490574956308",
    "us-isob-east-1": "765400339828",
    "us-isof-east-1": "108575199400",
    "us-isof-south-1": "124985052026",
    "us-west-1": "632365934929",
    "us-west-2": "174872318107",
}

#: The AWS account that owns Neo's inference images, by region.
NEO_ACCOUNTS: Final[Mapping[str, str]] = {
    "af-south-1": "774647643957",
    "ap-east-1": "110948597952",
    "ap-northeast-1": "941853720454",
    "ap-northeast-2": "151534178276",
    "ap-northeast-3": "925152966179",
    "ap-south-1": "763008648453",
    "ap-southeast-1": "324986816169",
    "ap-southeast-2": "355873309152",
    "ca-central-1": "464438896020",
    "cn-north-1": "472730292857",
    "cn-northwest-1": "474822919863",
    "eu-central-1": "746233611703",
    "eu-central-2": "010526262399",
    "eu-north-1": "601324751636",
    "eu-south-1": "966458181534",
    "eu-west-1": "802834080501",
    "eu-west-2": "205493899709",
    "eu-west-3": "254080097072",
    "il-central-1": "275950707576",
    "me-south-1": "836785723513",
    "sa-east-1": "756306329178",
    "us-east-1": "785573368785",
    "us-east-2": "007439368137",
    "us-gov-west-1": "263933020539",
    "us-iso-east-1": "167761179201",
    "us-isob-east-1": "406031935815",
    "us-west-1": "710691900526",
    "us-west-2": "301217895009",
}

#: The repositories of the images that serve compiled MXNet models: on CPUs and GPUs, on Inferentia (once on all).
NEO_REPOSITORIES: Final = ("sagemaker-inference-mxnet", "sagemaker-neo-mxnet")
_GPU_TARGETS: Final = ("ml_p", "ml_g")
_INFERENTIA_TARGETS: Final = ("ml_inf", "ml_trn")

_PARTITION_SUFFIXES: Final[Mapping[str, str]] = {
    "cn-": "amazonaws.com.cn",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "us-isof-": "csp.hci.ic.gov",
}


def image_uri(region: str) -> str:
    """Return the URI of the LinearLearner image in ``region``; training and inference share it.

    :raises RequestError: for a region without one, naming the nearest that has one.
    """
    return f"{_registry(region, ACCOUNTS, 'LinearLearner')}/linear-learner:1"


def neo_image_uri(region: str, target: str) -> str:
    """Return the URI of the image that serves MXNet models compiled for a cloud instance such as "ml_c5".

    :raises RequestError: for a region without one, naming the nearest that has one.
    """
    registry = _registry(region, NEO_ACCOUNTS, "Neo")
    current, inferentia = NEO_REPOSITORIES
    if target.startswith(_INFERENTIA_TARGETS):
        return f"{registry}/{inferentia}:1.5.1-inf-py3"
    return f"{registry}/{current}:1.8-{'gpu' if target.startswith(_GPU_TARGETS) else 'cpu'}-py3"


def _registry(region: str, accounts: Mapping[str, str], owner: str) -> str:
    if region not in accounts:
        near = difflib.get_close_matches(str(region), accounts, n=1, cutoff=0)[0]
        raise RequestError(
            f"{owner}'s image is known for {len(accounts)} regions, and {region!r} is not among them: "
            f"did you mean {near!r}? For a newer region give image_uri."
        )
    suffix = next((host for prefix, host in _PARTITION_SUFFIXES.items() if region.startswith(prefix)), "amazonaws.com")
    return f"{accounts[region]}.dkr.ecr.{region}.{suffix}"


def image_region(uri: str) -> str | None:
    """Return the region whose registry holds the image ``uri``, None when it is not in ECR."""
    _, found, rest = uri.partition(".dkr.ecr.")
    return rest.split(".", 1)[0] if found else None
