"""Parcels as features of humble decoders; the parcel model makes the same ones."""

from boldformer.models.parcels import N_PARCELS, parcel_means, parcellate

__all__ = ["N_PARCELS", "parcel_means", "parcellate"]
