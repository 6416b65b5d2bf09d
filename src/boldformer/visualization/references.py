"""The publications that the report's own words refer to, and those alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """A publication.

    Parameters
    ----------
    cited : str
        As the text names it, such as ``"Holm, 1979"``.
    authors, title, where : str
        Authors as BibTeX separates them; journal or proceedings.
    place : str
        Volume and pages or number, such as ``"6(2):65-70"``; may be empty.
    doi : str
        Without ``https://doi.org/``; may be empty.
    kind : {"article", "inproceedings"}
        Of the BibTeX entry.
    """

    cited: str
    authors: str
    title: str
    where: str
    place: str = ""
    doi: str = ""
    kind: str = "article"

    @property
    def year(self) -> str:
        """Of publication."""
        return self.cited[-4:]

    @property
    def text(self) -> str:
        """One line for a list."""
        authors = self.authors.replace(" and others", ", et al.")
        authors = authors.replace(" and ", "; ")
        place = f" {self.place.replace('-', '–')}" if self.place else ""
        return f"{authors} ({self.year}). {self.title}. {self.where}{place}."

    @property
    def bibtex(self) -> str:
        """Entry of a BibTeX file."""
        key = f"{self.authors.split(',')[0].lower()}{self.year}"
        venue = "journal" if self.kind == "article" else "booktitle"
        volume, _, pages = self.place.partition(":")
        if "-" in volume:
            volume, pages = "", volume
        volume, _, number = volume.rstrip(")").partition("(")
        fields = {
            "author": self.authors,
            "title": f"{{{self.title}}}",
            venue: self.where,
            "year": self.year,
            "volume": volume,
            "number": number,
            "pages": pages.replace("-", "--"),
            "doi": self.doi,
        }
        lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
        return "\n".join([f"@{self.kind}{{{key},", *lines, "}"])


REFERENCES = (
    Reference(
        "Abraham et al., 2014",
        "Abraham, Alexandre and others",
        "Machine learning for neuroimaging with scikit-learn",
        "Frontiers in Neuroinformatics",
        "8:14",
        "10.3389/fninf.2014.00014",
    ),
    Reference(
        "Cortes and Vapnik, 1995",
        "Cortes, Corinna and Vapnik, Vladimir",
        "Support-vector networks",
        "Machine Learning",
        "20:273-297",
        "10.1007/BF00994018",
    ),
    Reference(
        "Dosovitskiy et al., 2021",
        "Dosovitskiy, Alexey and others",
        "An image is worth 16x16 words: transformers for image recognition at scale",
        "International Conference on Learning Representations",
        kind="inproceedings",
    ),
    Reference(
        "Esteban et al., 2019",
        "Esteban, Oscar and others",
        "fMRIPrep: a robust preprocessing pipeline for functional MRI",
        "Nature Methods",
        "16:111-116",
        "10.1038/s41592-018-0235-4",
    ),
    Reference(
        "Glasser et al., 2013",
        "Glasser, Matthew F. and others",
        "The minimal preprocessing pipelines for the Human Connectome Project",
        "NeuroImage",
        "80:105-124",
        "10.1016/j.neuroimage.2013.04.127",
    ),
    Reference(
        "Gorgolewski et al., 2016",
        "Gorgolewski, Krzysztof J. and others",
        "The brain imaging data structure, a format for organizing and describing "
        "outputs of neuroimaging experiments",
        "Scientific Data",
        "3:160044",
        "10.1038/sdata.2016.44",
    ),
    Reference(
        "Guo et al., 2017",
        "Guo, Chuan and others",
        "On calibration of modern neural networks",
        "International Conference on Machine Learning",
        kind="inproceedings",
    ),
    Reference(
        "Haufe et al., 2014",
        "Haufe, Stefan and others",
        "On the interpretation of weight vectors of linear models in multivariate "
        "neuroimaging",
        "NeuroImage",
        "87:96-110",
        "10.1016/j.neuroimage.2013.10.067",
    ),
    Reference(
        "Hesterberg, 2015",
        "Hesterberg, Tim C.",
        "What teachers should know about the bootstrap: resampling in the "
        "undergraduate statistics curriculum",
        "The American Statistician",
        "69(4):371-386",
        "10.1080/00031305.2015.1089789",
    ),
    Reference(
        "Holm, 1979",
        "Holm, Sture",
        "A simple sequentially rejective multiple test procedure",
        "Scandinavian Journal of Statistics",
        "6(2):65-70",
    ),
    Reference(
        "Jain and Wallace, 2019",
        "Jain, Sarthak and Wallace, Byron C.",
        "Attention is not explanation",
        "Proceedings of NAACL-HLT 2019",
        "3543-3556",
        "10.18653/v1/N19-1357",
        kind="inproceedings",
    ),
    Reference(
        "Korn and Graubard, 1998",
        "Korn, Edward L. and Graubard, Barry I.",
        "Confidence intervals for proportions with small expected number of positive "
        "counts estimated from survey data",
        "Survey Methodology",
        "24:193-201",
    ),
    Reference(
        "Loshchilov and Hutter, 2019",
        "Loshchilov, Ilya and Hutter, Frank",
        "Decoupled weight decay regularization",
        "International Conference on Learning Representations",
        kind="inproceedings",
    ),
    Reference(
        "Nadeau and Bengio, 2003",
        "Nadeau, Claude and Bengio, Yoshua",
        "Inference for the generalization error",
        "Machine Learning",
        "52:239-281",
        "10.1023/A:1024068626366",
    ),
    Reference(
        "Ojala and Garriga, 2010",
        "Ojala, Markus and Garriga, Gemma C.",
        "Permutation tests for studying classifier performance",
        "Journal of Machine Learning Research",
        "11:1833-1863",
    ),
    Reference(
        "Paszke et al., 2019",
        "Paszke, Adam and others",
        "PyTorch: an imperative style, high-performance deep learning library",
        "Advances in Neural Information Processing Systems",
        "32",
        kind="inproceedings",
    ),
    Reference(
        "Pedregosa et al., 2011",
        "Pedregosa, Fabian and others",
        "Scikit-learn: machine learning in Python",
        "Journal of Machine Learning Research",
        "12:2825-2830",
    ),
    Reference(
        "Varoquaux, 2018",
        "Varoquaux, Gaël",
        "Cross-validation failure: small sample sizes lead to large error bars",
        "NeuroImage",
        "180:68-77",
        "10.1016/j.neuroimage.2017.06.061",
    ),
    Reference(
        "Vaswani et al., 2017",
        "Vaswani, Ashish and others",
        "Attention is all you need",
        "Advances in Neural Information Processing Systems",
        "30",
        kind="inproceedings",
    ),
    Reference(
        "Wan et al., 2013",
        "Wan, Li and others",
        "Regularization of neural networks using DropConnect",
        "International Conference on Machine Learning",
        kind="inproceedings",
    ),
    Reference(
        "Wang et al., 2020",
        "Wang, Xiaoxiao and others",
        "Decoding and mapping task states of the human brain via deep learning",
        "Human Brain Mapping",
        "41:1505-1519",
        "10.1002/hbm.24891",
    ),
    Reference(
        "Zhang et al., 2018",
        "Zhang, Hongyi and others",
        "mixup: beyond empirical risk minimization",
        "International Conference on Learning Representations",
        kind="inproceedings",
    ),
)


def cited_in(texts: Iterable[str]) -> list[Reference]:
    """List the publications that some texts name, in the order of their authors."""
    together = "\n".join(texts)
    return [one for one in REFERENCES if one.cited in together]


def bibliography(references: Iterable[Reference]) -> str:
    """Write a BibTeX file."""
    return "\n\n".join(one.bibtex for one in references) + "\n"
