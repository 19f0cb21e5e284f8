"""Invented companies. The suite and the training data share no name, so none can be learnt by heart."""

from __future__ import annotations

import re

_SUITE = """
Abernathy Foods, Alderwick Steel, Amberline Software, Ardent Rail, Aster Biologics, Balmoral Shipping,
Barrowdale Cement, Bellweather Retail, Birchmont Insurance, Blackfen Mining, Bramble Apparel, Brightwater Utilities,
Calder Semiconductors, Camberley Hotels, Cardinal Optics, Castleton Brewing, Cedarcrest Homes, Chalkstone Media,
Cobalt Freight, Corvane Robotics, Cresthaven Banks, Dalemount Dairy, Darrow Aerospace, Deepwell Energy,
Dunmore Textiles, Eastmarch Telecom, Elmsford Paper, Emberly Toys, Evenlode Pharma, Fairhollow Farms,
Falconridge Motors, Fenwick Chemicals, Finchley Games, Foxglove Cosmetics, Garnet Payments, Glenmoor Distillers,
Granby Elevators, Greywater Pumps, Halcyon Airlines, Harrowgate Tools, Hazelton Furniture, Highfold Wind,
Hollis Diagnostics, Ironbridge Cranes, Ivywood Schools, Jasperton Glass, Juniper Gardens, Kestrel Drones,
Kingsbarrow Trucks, Kirkstall Data, Lakemont Water, Larkfield Bakeries, Linden Storage, Lockhart Security,
Marrowby Shoes, Meadowsweet Health, Merevale Plastics, Millbrook Tractors, Moorgate Leasing, Netherfield Batteries,
Northolt Parcel, Oakhaven Clinics, Orchard Juices, Ottermouth Fisheries, Pemberton Valves, Pinecroft Timber,
Quarrington Stone, Quillon Publishing, Ravensworth Defence, Redfern Cables, Rookwood Cinemas, Saltmarsh Solar,
Sherbourne Lasers, Silverdale Jewels, Stonecross Realty, Tamarind Spices, Thornbury Gas, Umberfield Paints,
Wexcombe Cloud, Yarrow Medical
"""

_TRAINING = """
Acorn Harbour, Anvil Street, Applegarth, Beacon Tide, Bluefinch, Boltwright, Briar & Sons, Candlewood,
Copperhead Labs, Crownfield, Dovetail Systems, Driftway, Eagle Peak, Echo Canyon, Feathergate, Firestone Creek,
Goldacre, Gravel Pit Partners, Harvest Moon, Hexagon Lane, Indigo Bay, Jackdaw, Kettle River, Lanternworks,
Magpie Trading, Mapleshade, Nimbus Point, Nutmeg Street, Old Mill, Palisade North, Plover Group, Quince Valley,
Rustic Ridge, Sandpiper, Summerhill, Tidewater Nine, Velvet Oak, Whitegate, Windmill Corner, Zephyr Works
"""

SUITE_COMPANIES: tuple[str, ...] = tuple(re.split(r",\s+", _SUITE.strip()))
TRAINING_COMPANIES: tuple[str, ...] = tuple(re.split(r",\s+", _TRAINING.strip()))
